"""Crawl: a folder of files, a list of links or the demo's takes become verified videos with a row each."""

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field, PrivateAttr

from pipeline import files
from pipeline.base.hashes import sha256_of
from pipeline.profile import Web
from pipeline.reasons import Reason, Reject
from pipeline.stage import Context, Reads, Resources, Row, Stage, Unit, runtime
from pipeline.web.wanted import Wanted

if TYPE_CHECKING:
    from pipeline.media.guard import Limits
    from pipeline.table import Store
    from pipeline.web.pace import Gate

SEARCH = "search"  # as `crawl.input`: what the search found
_FOUND = ("speech_type", "language", "query", "query_rank")  # of a source, copied to its video


class Crawl(Wanted, Stage):
    """Fetches or finds videos, checks that they decode, hashes them and puts them in place."""

    name: ClassVar[str] = "crawl"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "videos from a folder or from links, verified and hashed"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("sources", _FOUND),)
    writes: ClassVar[str] = "videos"
    unit: ClassVar[str] = "source"
    resources: ClassVar[Resources] = Resources(seconds=24 * 3600, network=True)
    preload: ClassVar[tuple[str, ...]] = ("stages.crawl.warm",)

    input: str = Field(
        "",
        description="folder of videos, list of links (one a line, or CSV), manifest of clips, `search` for what the stage "
        "of that name found, or `theatre` for the demo",
        json_schema_extra=runtime(),
    )
    height_px: int = Field(
        720,
        ge=1,
        description="lines wanted of a 16:9 picture: 1280x720, and 960x720 or 1280x544; else the next size up",
    )
    min_height_px: int = Field(480, ge=1, description="where nothing larger is offered: down to this many lines")
    codecs: tuple[str, ...] = Field(("avc1", "vp9", "av01"), description="video codecs of one size, best first")
    max_gigabytes: float = Field(64.0, gt=0, description="larger files are refused, 2^30 bytes")
    max_megapixels: float = Field(36.0, gt=0, description="videos with larger pictures are refused, 10^6 pixels")
    allow_loopback: bool = Field(
        False,
        description="let links lead to this machine itself: for tests and mirrors, never for lists of others",
        json_schema_extra=runtime(),
    )

    _context: Context = PrivateAttr()
    _gate: "Gate | None" = PrivateAttr()

    def sources(self, store: "Store") -> list[str] | None:
        from stages.crawl import units

        if self.input == SEARCH:
            return None
        kind = units.kind_of(self.input)
        if kind == units.THEATRE:
            from pipeline.theatre import TAKES

            return [f"{units.THEATRE_PREFIX}{take.name}" for take in TAKES]
        if kind == "folder":
            return units.folder_units(self.input)
        found = units.read_list(Path(self.input), store.run)
        return [*found.links, *found.bad]

    def refused(self, store: "Store") -> Mapping[str, str]:
        from stages.crawl import units

        return units.read_list(Path(self.input)).bad if self._kind() == "list" else {}

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        from pipeline.web.links import video_id_of
        from pipeline.web.pace import serving
        from stages.crawl import units

        kind = self._kind()
        if kind == units.THEATRE:
            from pipeline import theatre
            from pipeline.theatre import server

            folder = context.run / "theatre"
            theatre.build(folder)
            with server.serve(folder) as address:
                yield {"theatre_url": address}
        elif kind == "folder":
            yield {"same_size": units.same_size(self.input, units.folder_units(self.input))}
        else:
            web = context.web or Web()
            listed = units.LinkList() if kind == SEARCH else units.read_list(Path(self.input), context.run)
            self._look_ahead(web, kind == SEARCH or any(video_id_of(link) for link in listed.links))
            with serving(context.run, web) as address:
                yield {"bad": listed.bad, "pace": address}

    def _look_ahead(self, web: Web, youtube: bool) -> None:
        """Say what every video would be refused for, before the first is asked for. Raises StageError for cookies."""
        import click

        from pipeline.web.net import cookies_of, without_scripts

        cookies_of(web)
        if youtube and (lacking := without_scripts()):
            click.echo(f"crawl: {lacking}", err=True)

    def setup(self, context: Context) -> None:
        from pipeline.web.pace import Gate

        self._context = context
        self._gate = Gate(context.given["pace"]) if "pace" in context.given else None

    def process(self, unit: Unit) -> Iterator[Row]:
        from stages.crawl import units

        if unit.id in self._context.given.get("bad", {}):
            raise Reject(units.reason_of(unit.id), self._context.given["bad"][unit.id])
        try:
            if unit.id.startswith(units.THEATRE_PREFIX):
                row = self._linked(unit.id, self._take_url(unit.id), allow_loopback=True)
                # The server's port is another one each time, and no address of it is worth keeping.
                yield {**row, "url": None, "footage": units.THEATRE}
            elif self._kind() == "folder":
                yield self._local(unit.id)
            else:
                found = {
                    name: value for row in unit.rows("sources") for name in _FOUND if (value := row[name]) is not None
                }
                yield {**self._once(unit.id), **found}
        except OSError as error:
            raise files.failure_of(error) or error from error

    def _kind(self) -> str:
        from stages.crawl import units

        return SEARCH if self.input == SEARCH else units.kind_of(self.input)

    def _local(self, unit: str) -> Row:
        """A file of the folder, where it is."""
        from pipeline.media.video import probe
        from stages.crawl import place, record, units

        path = units.local_path(self.input, unit)
        if str(path).encode("utf-8", "replace") != os.fsencode(path):
            raise Reject(Reason.BAD_LINK, f"its name is not UTF-8, which tables cannot hold: rename it ({unit[:80]})")
        found = probe(path, self._limits())
        sha256 = sha256_of(path)
        video_id = place.file_id(sha256)
        if place.owner_of(self._context.run, video_id) is None:
            # Of copies that nobody owns yet the first by name wins, whichever worker comes first.
            for other in self._context.given.get("same_size", {}).get(unit, ()):
                if _is_copy(units.local_path(self.input, other), sha256):
                    raise Reject(Reason.DUPLICATE, f"the same video as {other}")
        place.claim(self._context.run, video_id, unit)
        return {**record.row(video_id, unit, path, sha256, found), "title": record.clean(path.stem, 300)}

    def _once(self, unit: str) -> Row:
        """A link's row: of the file that an earlier try left in its place, else of a download."""
        from pipeline.media.video import probe
        from pipeline.web.links import video_id_of
        from stages.crawl import notes, place

        run, named = self._context.run, video_id_of(unit)
        if self._left_out(named):
            notes.forget(run, unit)
            raise Reject(Reason.OPTED_OUT, f"{named} is on the list")
        noted = notes.read(run, unit, self._how())
        if noted is None:
            return self._linked(unit, unit, self.allow_loopback)
        row, about = noted
        self.check(about, complete=True)
        self._refuse_channel(row["video_id"], *(row.get(n) for n in ("channel", "channel_id", "channel_handle")))
        probe(run / row["path"], self._limits())  # they may be other ones today
        place.claim(run, row["video_id"], unit)
        return row

    def _linked(self, unit: str, url: str, allow_loopback: bool) -> Row:
        """A download, verified and moved into the run."""
        from pipeline.media.guard import check_url
        from stages.crawl import formats, notes, place, record, room
        from stages.crawl.fetch import FetchSettings, fetch

        run, web = self._context.run, self._context.web or Web()
        wanted = formats.FormatSettings(self.height_px, self.min_height_px, self.codecs)
        settings = FetchSettings(run, wanted, self._limits(), web, self._gate, allow_loopback)
        check_url(url, allow_loopback=allow_loopback)
        folder = run / "raw" / f"tmp-{hashlib.sha256(unit.encode()).hexdigest()[:16]}"

        def known(info: dict[str, Any]) -> None:
            named = _named_id(info)
            self._refuse_channel(
                named, *(info.get(name) for name in ("channel", "uploader", "channel_id", "uploader_id"))
            )
            self.check(info, complete=True)
            if named:
                place.claim(run, named, unit)

        try:
            folder.mkdir(parents=True, exist_ok=True)
            room.check_room(run, web)
            fetched = fetch(url, folder, settings, known)
            sha256 = sha256_of(fetched.path)
            video_id = _named_id(fetched.info) or place.file_id(sha256)
            place.claim(run, video_id, unit)
        except Reject:
            shutil.rmtree(folder, ignore_errors=True)  # a result: nothing of it is needed again
            raise
        path = place.place_of(run, video_id, fetched.path)
        row = {**record.row(video_id, unit, path, sha256, fetched.probe), **record.metadata(fetched.info)}
        chosen = (fetched.info.get("requested_formats") or [fetched.info])[0]
        row |= {"format": formats.described(fetched.info), "resolution_fallback": formats.fallback(chosen, wanted)}
        if self._gate:  # the demo's footage has none: it may be another one tomorrow
            notes.write(run, unit, self._how(), row, fetched.info)
        place.put(run, path, fetched.path)
        shutil.rmtree(folder, ignore_errors=True)
        return row

    def _left_out(self, video_id: str | None, *channels: str | None) -> bool:
        opt_out = self._context.opt_out
        said = [channel for channel in channels if isinstance(channel, str)]
        return opt_out is not None and opt_out.names(video_id, *said)

    def _refuse_channel(self, video_id: str | None, *channels: str | None) -> None:
        if self._left_out(video_id, *channels):
            raise Reject(Reason.OPTED_OUT, "its channel is on the list")

    def _how(self) -> str:
        """What decides which bytes are fetched."""
        return f"{self.version} {self.height_px} {self.min_height_px} {' '.join(self.codecs)}"

    def _take_url(self, unit: str) -> str:
        from pipeline.theatre import take_named
        from stages.crawl.units import THEATRE_PREFIX

        return f"{self._context.given['theatre_url']}/{take_named(unit.removeprefix(THEATRE_PREFIX)).file}"

    def _limits(self) -> "Limits":
        from pipeline.media.guard import Limits

        return Limits(
            max_pixels=round(self.max_megapixels * 1e6),
            max_duration_seconds=self.max_hours * 3600,
            max_bytes=round(self.max_gigabytes * (1 << 30)),
        )


def _named_id(info: dict[str, Any]) -> str | None:
    """The id that the site itself gives a video, where ours is made of it."""
    from pipeline.media.ids import safe_video_id

    if info.get("extractor_key") != "Youtube" and info.get("extractor") != "youtube":
        return None
    return safe_video_id(f"yt:{info.get('id')}")


def _is_copy(path: Path, sha256: str) -> bool:

    try:
        return sha256_of(path) == sha256
    except OSError:
        return False
