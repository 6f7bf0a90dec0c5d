"""Small stages for tests of the machine: no media, known results, and every way to go wrong."""

import json
import os
import resource
import signal
import sys
import time
from abc import abstractmethod
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from pydantic import Field

from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.executors import forked
from pipeline.engine.settings import runtime
from pipeline.engine.stage import Context, Reads, Resources, Stage, Work
from pipeline.engine.unit import Unit
from pipeline.nets.server.client import open_net
from pipeline.tables.store import Store


class Toy(Stage):
    """A stage that is its own worker."""

    def worker(self, context: Context) -> Work:
        self.setup(context)
        return self

    def setup(self, context: Context) -> None:
        """Open what `process` needs."""

    @abstractmethod
    def process(self, unit: Unit) -> Iterator[Row]:
        """As `Work.process`."""


class ToyCrawl(Toy):
    """Units come from a list; a unit's name says what happens to it."""

    name: ClassVar[str] = "toy_crawl"
    writes: ClassVar[str] = "videos"
    resources: ClassVar[Resources] = Resources(seconds=10.0, memory_gb=2.0)  # a first unit may wait for a busy disk

    units: tuple[str, ...] = Field((), description="what to do", json_schema_extra=runtime())
    salt: int = 0
    pause_seconds: float = Field(0.0, json_schema_extra=runtime())

    def sources(self, store: Store) -> list[str]:
        return list(self.units)

    def process(self, unit: Unit) -> Iterator[Row]:
        time.sleep(self.pause_seconds)
        deed, _, rest = unit.id.partition("-")
        if deed == "reject":
            raise Reject(Reason.NOT_MEDIA, "as asked")
        if deed == "fail":
            raise Failure(Reason.NETWORK, "as asked")
        if deed == "raise":
            raise ValueError("as asked")
        if deed == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "exit":
            os._exit(3)
        if deed == "quit":
            sys.exit(4)
        if deed == "secret":
            raise ValueError(f"refused {os.environ['HF_TOKEN']} for Authorization: Bearer abc.def")
        if deed == "odd":
            raise Reject(Reason.NOT_MEDIA, "a\udcff name\x1b[31m\nof two lines " + "x" * 2000)
        if deed == "unknown":
            yield {"video_id": "file:unknown", "colour": "red"}
        if deed == "twice":
            yield {"video_id": "file:twice"}
            yield {"video_id": "file:twice"}
        if deed == "keyless":
            yield {"title": "nobody"}
        if deed == "denied":
            raise PermissionError(13, "Permission denied", "/somewhere/else/video.mp4")
        if deed == "wall":
            raise Failure(Reason.BOT_WALL, "sign in first")
        if deed == "limit":
            raise Failure(Reason.DISK_LIMIT, "downloads take 3 GiB")
        if deed == "hang":
            time.sleep(3600)
        while deed == "until" and not Path(rest).exists():
            time.sleep(0.02)
        if deed == "eat":
            _ = [np.empty(1 << 26) for _ in range(16)]  # 8 GiB, asked for bit by bit
        if deed == "full":
            raise OSError(28, "No space left on device", "somewhere")
        yield {
            "video_id": f"file:{unit.id}",
            "source": unit.id,
            "width": 1280 + self.salt,
            "height": 720,
            "title": unit.id,
        }


class ToyTold(Toy):
    """Tells how things are in its worker; a unit is the name of a variable."""

    name: ClassVar[str] = "toy_told"
    writes: ClassVar[str] = "videos"
    resources: ClassVar[Resources] = Resources(seconds=30.0, memory_gb=2.0, preload=("wave",))

    def process(self, unit: Unit) -> Iterator[Row]:
        print(f"to standard output, for {unit.id}", flush=True)
        told = {
            "value": os.environ.get(unit.id),
            "foreign": sorted(name for name in os.environ if name in (forked.MODULES, "PYTHONSAFEPATH")),
            "folder": str(Path.cwd()),
            "umask": os.umask(0o22),
            "parent": os.getppid(),
            "modules": sorted(sys.modules),
            "limit": resource.getrlimit(resource.RLIMIT_DATA)[0] - forked.brought_bytes,
        }
        yield {"video_id": f"file:{unit.id}", "source": unit.id, "title": json.dumps(told)}


class ToyServed(Toy):
    """Has a net of `little_nets` double a number: a unit is a deed, a dash and the number."""

    name: ClassVar[str] = "toy_served"
    writes: ClassVar[str] = "videos"
    resources: ClassVar[Resources] = Resources(seconds=45.0, memory_gb=2.0, served=True)

    units: tuple[str, ...] = Field((), description="what to do", json_schema_extra=runtime())
    net: str = Field("", json_schema_extra=runtime())
    pause_seconds: float = Field(0.0, json_schema_extra=runtime())

    def sources(self, store: Store) -> list[str]:
        return list(self.units)

    def setup(self, context: Context) -> None:
        self.__dict__["session"] = open_net(self.net, "cpu", 1, context.net_server, together=True)
        self.__dict__["share"] = context.gpu_share

    def process(self, unit: Unit) -> Iterator[Row]:
        deed, _, number = unit.id.partition("-")
        time.sleep(self.pause_seconds)
        if deed == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        if deed == "hang":
            time.sleep(3600)
        if deed == "eat":
            _ = [np.empty(1 << 26) for _ in range(16)]
        rows = np.full((1 + int(number) % 3, 4), 1e15 if deed == "endless" else float(number), np.float32)
        [y] = self.__dict__["session"].run(["y"], {"x": rows})
        row: Row = {"video_id": f"file:{unit.id}", "source": unit.id, "width": int(y[-1, -1]), "height": len(y)}
        yield {**row, "title": f"{type(self.__dict__['session']).__name__} {self.__dict__['share']:g}"}


class ToyServedOnGpu(ToyServed):
    """Has a net on a GPU, as far as its outcomes say."""

    name: ClassVar[str] = "toy_served_on_gpu"
    resources: ClassVar[Resources] = Resources(seconds=45.0, memory_gb=2.0, served=True, gpu=True)


class ToyServedShort(ToyServed):
    """Has less time."""

    name: ClassVar[str] = "toy_served_short"
    resources: ClassVar[Resources] = Resources(seconds=4.0, memory_gb=2.0, served=True)


class ToySplit(Toy):
    """Two clips a video; reads the width alone."""

    name: ClassVar[str] = "toy_split"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("videos", ("width",)),)
    writes: ClassVar[str] = "clips"
    unit: ClassVar[str] = "video_id"

    def process(self, unit: Unit) -> Iterator[Row]:
        width = unit.row("videos")["width"]
        for first in (0, 250):
            yield {
                "clip_id": f"{unit.id}/{first}+250",
                "video_id": unit.id,
                "first_frame": first,
                "frames": 250,
                "shot": width,
            }


class ToyAnnotate(Toy):
    """One person a clip, with planted keypoints."""

    name: ClassVar[str] = "toy_annotate"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("clips", ("frames", "first_frame")), Reads("videos", ("width",)))
    writes: ClassVar[str] = "persons"
    unit: ClassVar[str] = "clip_id"

    batch: int = Field(8, json_schema_extra=runtime())
    value: float = 1.0

    def process(self, unit: Unit) -> Iterator[Row]:
        clip = unit.row("clips")
        keypoints = np.full((clip["frames"], 266), self.value, np.float32) + clip["first_frame"]
        yield {
            "person_id": f"{unit.id}#0",
            "clip_id": unit.id,
            "video_id": unit.id.partition("/")[0],
            "person": 0,
            "width": unit.row("videos")["width"],
            "frames": clip["frames"],
            "frames_seen": clip["frames"],
            "keypoints": keypoints,
            "scores": np.ones((clip["frames"], 133), np.float32),
        }


class ToyMeasure(Toy):
    """Reads heavy columns: the mean of the keypoints of each person."""

    name: ClassVar[str] = "toy_measure"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("persons", ("keypoints", "person")),)
    writes: ClassVar[str] = "pose_measures"
    unit: ClassVar[str] = "clip_id"

    def process(self, unit: Unit) -> Iterator[Row]:
        for row in unit.rows("persons"):
            mean = float(row["keypoints"].mean())
            yield {"person_id": row["person_id"], "clip_id": unit.id, "video_id": row["video_id"], "jitter": mean}


class ToyJudge(Toy):
    """Keeps persons whose measure is at most a threshold; one unit."""

    name: ClassVar[str] = "toy_judge"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("persons", ()), Reads("pose_measures", ("jitter",)))
    writes: ClassVar[str] = "verdicts"

    most: float = 1e9

    def process(self, unit: Unit) -> Iterator[Row]:
        measures = {row["person_id"]: row["jitter"] for row in unit.rows("pose_measures")}
        for row in unit.rows("persons"):
            keep = measures[row["person_id"]] <= self.most
            ids = {name: row[name] for name in ("person_id", "clip_id", "video_id")}
            yield {**ids, "keep": keep, "reasons": [] if keep else ["jittery"]}


class ToyExport(Toy):
    """Writes a file for each kept person; its finish writes an index."""

    name: ClassVar[str] = "toy_export"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("verdicts", ("keep",), where="keep"), Reads("persons", ("scores",)))
    writes: ClassVar[str] = "samples"
    unit: ClassVar[str] = "person_id"

    _run: Path = Path()

    def setup(self, context: Context) -> None:
        self._run = context.run

    def process(self, unit: Unit) -> Iterator[Row]:
        person = unit.row("persons")
        ids = {name: person[name] for name in ("person_id", "clip_id", "video_id")}
        yield {**ids, "frames": len(person["scores"]), "audio": b"sound of " + unit.id.encode()}

    def finish(self, context: Context, store: Store) -> None:
        lines = "\n".join(store.read("samples", ["person_id"])["person_id"].to_pylist())
        (context.run / "index.txt").write_text(lines)


class ToyOnGpu(ToyCrawl):
    """A stage that would use a GPU."""

    resources: ClassVar[Resources] = Resources(gpu=True)


class ToyBroken(ToyCrawl):
    """Its set-up fails, as that of a net that does not load."""

    name: ClassVar[str] = "toy_broken"
    how: str = "raise"

    def setup(self, context: Context) -> None:
        if self.how == "die":
            os.kill(os.getpid(), signal.SIGKILL)
        raise RuntimeError("the net does not load")


class ToyHeavy(ToyCrawl):
    """A unit's rows are many times what a pipe takes in one piece."""

    name: ClassVar[str] = "toy_heavy"
    writes: ClassVar[str] = "persons"
    resources: ClassVar[Resources] = Resources(seconds=60.0, memory_gb=2.0)

    def process(self, unit: Unit) -> Iterator[Row]:
        rng = np.random.default_rng(list(unit.id.encode()))  # no two alike: equal rows would compress to one
        keypoints = rng.normal(size=(250, 266)).astype(np.float32)
        yield {"person_id": f"{unit.id}#0", "clip_id": unit.id, "video_id": "v", "keypoints": keypoints, "frames": 250}
        time.sleep(self.pause_seconds)


class ToyRows(ToyCrawl):
    """Yields a row of so many bytes, which nothing compresses."""

    name: ClassVar[str] = "toy_rows"
    writes: ClassVar[str] = "samples"

    bytes: int = 1000

    def process(self, unit: Unit) -> Iterator[Row]:
        ids = {"person_id": f"{unit.id}#0", "clip_id": unit.id, "video_id": "v"}
        yield {**ids, "frames": 1, "audio": np.random.default_rng(list(unit.id.encode())).bytes(self.bytes)}


CHAIN: tuple[type[Stage], ...] = (ToyCrawl, ToySplit, ToyAnnotate, ToyMeasure, ToyJudge, ToyExport)
