"""A crawl's worker: a unit's row, fetched, verified and put in place."""

import hashlib
import shutil
from collections.abc import Container, Iterator
from pathlib import Path
from typing import Any

from pipeline.base import files
from pipeline.base.hashes import sha256_of
from pipeline.base.ids import safe_video_id
from pipeline.base.links import video_id_of
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.guard import Limits, check_url
from pipeline.media.video import Probe, probe
from pipeline.sources.web.pace import Gate
from pipeline.sources.web.settings import Web
from stages.crawl import formats, notes, place, record, room
from stages.crawl.inputs import input_of
from stages.crawl.settings import CrawlSettings
from stages.crawl.taken_down import TakenDown


class Worker:
    """What inputs make their rows with.

    Attributes:
        run: the run's folder.
        given: what the input's `driver` prepared.
        limits: of files that are opened.
        left_out: videos of which nothing is written down.
    """

    def __init__(self, settings: CrawlSettings, context: Context) -> None:
        self.run, self.given, self._storage = context.run, context.given, context.storage
        self.limits = Limits(
            max_pixels=round(settings.max_megapixels * 1e6),
            max_duration_seconds=settings.max_hours * 3600,
            max_bytes=round(settings.max_gigabytes * (1 << 30)),
        )
        self.left_out: Container[object] = context.opt_out or ()
        self._settings, self._opt_out, self._web = settings, context.opt_out, context.web or Web()
        self._taken_down = TakenDown(context)
        self._gate = Gate(self.given["pace"]) if "pace" in self.given else None

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the unit's row; of a unit that has one already, with what today's reader says. Raises Reject, Failure."""
        try:
            rows = unit.rows("videos")
            row = self.read_again(rows[0]) if rows else input_of(self._settings.input).row(unit, self)
            self._taken_down.check(unit.id, row)
            yield row
        except OSError as error:
            raise files.failure_of(error) or error from error

    def probed(self, path: Path) -> Probe:
        """What today's reader says of a file. Raises Reject, Failure."""
        return probe(path, self.limits)

    def fetched(self, unit: str) -> Row:
        """A link's row: of the file that an earlier try left in its place, else of a download."""
        run, named = self.run, video_id_of(unit)
        if self._is_left_out(named):
            notes.forget(run, unit)
            raise self._refusal(named, f"{named} is on the list")
        noted = notes.read(run, unit, self._how())
        if noted is None:
            return self.downloaded(unit, unit, self._settings.allow_loopback)
        row, about = noted
        self._settings.check(about, complete=True)
        self._refuse_channel(row["video_id"], *(row.get(n) for n in ("channel", "channel_id", "channel_handle")))
        probed = self.probed(self._storage.local(row["path"]))  # limits and the reader may be other ones today
        place.claim(run, row["video_id"], unit)
        return {**row, **record.measured(probed)}

    def read_again(self, row: Row) -> Row:
        """A row whose file is looked at once more, where it lies: nothing is fetched. Raises Reject for the very bytes, Failure."""
        path = self._storage.local(row["path"])
        try:
            return {**row, **record.measured(self.probed(path))}
        except Reject:
            if sha256_of(path) != row["sha256"]:
                changed = f"{path.name} does not hold what was crawled: csg405 check --deep tells more"
                raise Failure(Reason.SOURCE_CHANGED, changed) from None
            raise

    def downloaded(self, unit: str, url: str, allow_loopback: bool) -> Row:
        """A download, verified and moved into the run."""
        from stages.crawl.fetch import FetchSettings, fetch  # yt-dlp, without which a folder is crawled all the same

        run, settings = self.run, self._settings
        wanted = formats.FormatSettings(settings.height_px, settings.min_height_px, settings.codecs)
        how = FetchSettings(run, wanted, self.limits, self._web, self._gate, allow_loopback)
        check_url(url, allow_loopback=allow_loopback)
        folder = self._storage.scratch(hashlib.sha256(unit.encode()).hexdigest()[:16])

        def known(info: dict[str, Any]) -> None:
            named = _named_id(info)
            self._refuse_channel(
                named, *(info.get(name) for name in ("channel", "uploader", "channel_id", "uploader_id"))
            )
            settings.check(info, complete=True)
            if named:
                place.claim(run, named, unit)

        try:
            room.check_room(run, self._web)
            fetched = fetch(url, folder, how, known)
            sha256 = sha256_of(fetched.path)
            video_id = _named_id(fetched.info) or place.file_id(sha256)
            place.claim(run, video_id, unit)
        except Reject:
            shutil.rmtree(folder, ignore_errors=True)  # a result: nothing of it is needed again
            raise
        key = place.place_of(video_id, fetched.path)
        row = {**record.row(video_id, unit, Path(key), sha256, fetched.probe), **record.metadata(fetched.info)}
        chosen = (fetched.info.get("requested_formats") or [fetched.info])[0]
        row |= {"format": formats.described(fetched.info), "resolution_fallback": formats.fallback(chosen, wanted)}
        if self._gate:  # the demo's footage has none: it may be another one tomorrow
            notes.write(run, unit, self._how(), row, fetched.info)
        place.put(run, key, fetched.path)
        shutil.rmtree(folder, ignore_errors=True)
        return row

    def _is_left_out(self, video_id: str | None, *channels: str | None) -> bool:
        names = [channel for channel in channels if isinstance(channel, str)]
        return self._opt_out is not None and self._opt_out.names(video_id, *names)

    def _refuse_channel(self, video_id: str | None, *channels: str | None) -> None:
        if self._is_left_out(video_id, *channels):
            raise self._refusal(video_id, "its channel is on the list")

    def _refusal(self, video_id: str | None, otherwise: str) -> Reject:
        taken = self._opt_out is not None and self._opt_out.took_down(video_id)
        return Reject(Reason.OPTED_OUT, "it was taken down" if taken else otherwise)

    def _how(self) -> str:
        """What decides which bytes are fetched."""
        settings = self._settings
        return f"{settings.version} {settings.height_px} {settings.min_height_px} {' '.join(settings.codecs)}"


def _named_id(info: dict[str, Any]) -> str | None:
    """The id that the site itself gives a video, where ours is made of it."""
    if info.get("extractor_key") != "Youtube" and info.get("extractor") != "youtube":
        return None
    return safe_video_id(f"yt:{info.get('id')}")


open_worker = Worker
