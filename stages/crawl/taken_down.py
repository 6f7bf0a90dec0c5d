"""Refusing works that were taken down: by the hash of their id, and by what is heard of them where a fingerprint is kept."""

import logging
from collections.abc import Mapping

from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.media.chromaprint import Items, fingerprint, is_available
from pipeline.media.sound_tracks import SoundTracks
from pipeline.media.twins.limits import Limits
from pipeline.media.twins.link import items_of, link_of
from stages.crawl import notes, place
from stages.crawl.kept import GIVEN

log = logging.getLogger(__name__)


class TakenDown:
    """What a crawl refuses though a site, or a folder, still has it.

    Args:
        context: of the crawl; `given` holds the fingerprints that the ledger keeps.
    """

    def __init__(self, context: Context) -> None:
        self._run, self._storage, self._opt_out = context.run, context.storage, context.opt_out
        kept: Mapping[str, bytes] = context.given.get(GIVEN, {})
        if kept and not is_available():
            log.warning(
                "re-uploads of %d works that were taken down are not recognised: the ffmpeg that CSG405_FFMPEG names has no "
                "Chromaprint",
                len(kept),
            )
            kept = {}
        self._kept = {name: items_of(data) for name, data in kept.items()}

    def check(self, unit: str, row: Row) -> None:
        """Pass a video's row, or delete what was fetched of it and raise Reject."""
        by_id = self._opt_out is not None and self._opt_out.took_down(row["video_id"])
        if said := "it was taken down" if by_id else self._heard(row):
            self._forget(unit, row)
            raise Reject(Reason.OPTED_OUT, said)

    def _heard(self, row: Row) -> str:
        """Which work's sound it has; "" where it has none of them. What comes near to one is told, and let in."""
        items = self._items(row)
        links = {name: link_of("", "kept", {"": items, "kept": kept}, Limits()) for name, kept in self._kept.items()}
        for name, link in sorted(links.items()):
            if link is None:
                continue
            match = link.of[""]
            said = f"what was taken down on {name}: {match.error:.3f} of the bits differ over {match.seconds:.1f} s"
            if link.twins:
                return f"a re-upload of {said}"
            log.warning(
                "%s is let in, and comes near to %s; look at it: `csg405 takedown` takes it out", row["video_id"], said
            )
        return ""

    def _items(self, row: Row) -> Items:
        """The fingerprint of a video; none where there is nothing to hear, or to compare it with."""
        if not self._kept or not row["audio_codec"]:
            return items_of(None)
        try:
            wave = SoundTracks(self._storage, None).whole(row)
        except Reject:  # what does not decode is no evidence
            return items_of(None)
        return items_of(None) if wave is None or not len(wave) else fingerprint(wave)

    def _forget(self, unit: str, row: Row) -> None:
        """Delete what a crawl put into the run; a file that was used where it lay stays there."""
        notes.forget(self._run, unit)
        keys = [place.owner_key(row["video_id"])]
        if not str(row["path"]).startswith("/"):
            keys.insert(0, row["path"])
        for key in keys:
            self._storage.delete(key)
        self._storage.keep_deleted(keys)
