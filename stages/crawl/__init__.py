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
from pipeline.reasons import Reason, Reject
from pipeline.stage import Context, Resources, Row, Stage, Unit, runtime

if TYPE_CHECKING:
    from pipeline.media.guard import Limits
    from pipeline.table import Store

FORMATS = "bv*[height>=?480][width>=?480]+ba/b[height>=?480][width>=?480]"
# 720 on the short side, else the next size up, else down; H.264, then HEVC, VP9, AV1; the original language of the
# sound; no more pictures a second than are needed.
FORMAT_SORT = ("lang", "+res:720", "+vcodec:h264", "+fps:24")


class Crawl(Stage):
    """Fetches or finds videos, checks that they decode, hashes them and puts them in place."""

    name: ClassVar[str] = "crawl"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "videos from a folder or from links, verified and hashed"
    writes: ClassVar[str] = "videos"
    unit: ClassVar[str] = "source"
    resources: ClassVar[Resources] = Resources(seconds=4 * 3600)

    input: str = Field(
        "",
        description="folder of videos, list of links (one a line, or CSV), or `theatre` for the demo",
        json_schema_extra=runtime(),
    )
    formats: str = Field(FORMATS, description="yt-dlp format selector")
    format_sort: tuple[str, ...] = Field(FORMAT_SORT, description="yt-dlp's order among the formats selected")
    max_hours: float = Field(6.0, gt=0, description="longer videos are refused, hours")
    max_gigabytes: float = Field(64.0, gt=0, description="larger files are refused, 2^30 bytes")
    max_megapixels: float = Field(36.0, gt=0, description="videos with larger pictures are refused, 10^6 pixels")
    timeout_seconds: float = Field(
        30.0, gt=0, description="silence after which a connection is given up, seconds", json_schema_extra=runtime()
    )
    retries: int = Field(5, ge=0, description="tries to go on with a broken download", json_schema_extra=runtime())
    retry_wait_seconds: float = Field(
        1.0, ge=0, description="pause before the first of them, doubled each time, seconds", json_schema_extra=runtime()
    )
    allow_loopback: bool = Field(
        False,
        description="let links lead to this machine itself: for tests and mirrors, never for lists of others",
        json_schema_extra=runtime(),
    )

    _context: Context = PrivateAttr()

    def sources(self, store: "Store") -> list[str] | None:
        from stages.crawl import units

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

        return units.read_list(Path(self.input)).bad if units.kind_of(self.input) == "list" else {}

    @contextmanager
    def driver(self, context: Context) -> Iterator[Mapping[str, Any]]:
        from stages.crawl import units

        kind = units.kind_of(self.input)
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
            yield {"bad": units.read_list(Path(self.input), context.run).bad}

    def setup(self, context: Context) -> None:
        self._context = context

    def process(self, unit: Unit) -> Iterator[Row]:
        from stages.crawl import units

        if unit.id in self._context.given.get("bad", {}):
            raise Reject(units.reason_of(unit.id), self._context.given["bad"][unit.id])
        try:
            if unit.id.startswith(units.THEATRE_PREFIX):
                row = self._linked(unit.id, self._take_url(unit.id), allow_loopback=True)
                # The server's port is another one each time, and no address of it is worth keeping.
                yield {**row, "url": None, "footage": units.THEATRE}
            elif units.kind_of(self.input) == "folder":
                yield self._local(unit.id)
            else:
                yield self._linked(unit.id, unit.id, self.allow_loopback)
        except OSError as error:
            raise files.failure_of(error) or error from error

    def _local(self, unit: str) -> Row:
        """A file of the folder, where it is."""
        from pipeline.media.video import probe
        from stages.crawl import place, record, units

        path = units.local_path(self.input, unit)
        if str(path).encode("utf-8", "replace") != os.fsencode(path):
            raise Reject(Reason.BAD_LINK, f"its name is not UTF-8, which tables cannot hold: rename it ({unit[:80]})")
        found = probe(path, self._limits())
        sha256 = place.sha256_of(path)
        video_id = place.file_id(sha256)
        if place.owner_of(self._context.run, video_id) is None:
            # Of copies that nobody owns yet the first by name wins, whichever worker comes first.
            for other in self._context.given.get("same_size", {}).get(unit, ()):
                if _is_copy(units.local_path(self.input, other), sha256):
                    raise Reject(Reason.DUPLICATE, f"the same video as {other}")
        place.claim(self._context.run, video_id, unit)
        return {**record.row(video_id, unit, path, sha256, found), "title": record.clean(path.stem, 300)}

    def _linked(self, unit: str, url: str, allow_loopback: bool) -> Row:
        """A download, verified and moved into the run."""
        from pipeline.media.guard import check_url
        from stages.crawl import place, record
        from stages.crawl.fetch import FetchSettings, fetch

        run = self._context.run
        settings = FetchSettings(
            self.formats,
            self.format_sort,
            self.timeout_seconds,
            self.retries,
            self.retry_wait_seconds,
            allow_loopback,
            self._limits(),
        )
        check_url(url, allow_loopback=allow_loopback)
        folder = run / "raw" / f"tmp-{hashlib.sha256(unit.encode()).hexdigest()[:16]}"

        def known(info: dict[str, Any]) -> None:
            if named := _named_id(info):
                place.claim(run, named, unit)

        try:
            fetched = fetch(url, folder, settings, known)
            sha256 = place.sha256_of(fetched.path)
            video_id = _named_id(fetched.info) or place.file_id(sha256)
            place.claim(run, video_id, unit)
        except Reject:
            shutil.rmtree(folder, ignore_errors=True)  # a result: nothing of it is needed again
            raise
        path = place.put(run, video_id, fetched.path)
        shutil.rmtree(folder, ignore_errors=True)
        return {**record.row(video_id, unit, path, sha256, fetched.probe), **record.metadata(fetched.info)}

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
    from stages.crawl.place import sha256_of

    try:
        return sha256_of(path) == sha256
    except OSError:
        return False
