"""What becomes of clips that were derived from a good one: stills, cut heads and borders, each with its verdict and reason.

The good one is a puppet's talk; everything is made here from its pictures by ffmpeg, and goes through split, annotate, measure_pose
and judge as in a run, with the puppets' own nets. Two of somebody real are at the end.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pipeline.base.units import Row
from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import probe, write_video
from pipeline.skeleton import layout
from pipeline.skeleton.inner_frame import beyond_share
from pipeline.tables.kinds import KINDS
from pipeline.theatre import Actor, Shot, Take, build_nets, render_take
from pipeline.theatre.takes import ADA, V_ADA
from stages.annotate import Annotate
from stages.judge import Judge
from stages.measure_pose import MeasurePose
from stages.split import Split
from tests.pipeline.media.footage import ffmpeg
from tests.stages.stage_assets import AssetModels, asset

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

VIDEO = "file:0123456789abcdef"
TALK = Take("talk", "Somebody in a hall", (Shot(5.2, (Actor(ADA, V_ADA, unit=176, y=372),), "stage"),))
BLUR = "scale=1280:720:force_original_aspect_ratio=increase,crop=1280:720,boxblur=20:3"
ZOOM = "zoompan=z='1+0.16*on/125':x='iw/2-iw/zoom/2':y='ih/2-ih/zoom/2':d=1:s={size}:fps=25"


@dataclass(frozen=True)
class Derived:
    """A clip that is made from the talk.

    Attributes:
        filters: of ffmpeg, [0] being the talk's pictures.
        reason: that must be among those against it; "" where the talk must be kept.
        still: it is made of the talk's first picture alone.
        inner: x1, y1, x2, y2 of the talk in it, which the crop must not leave where it is kept.
    """

    filters: str
    reason: str = ""
    still: bool = False
    inner: tuple[int, int, int, int] | None = None


DERIVED = {
    "the talk": Derived("null"),
    "still": Derived("null", "still", still=True),
    "still under a zoom": Derived(f"scale=2560:1440,{ZOOM.format(size='1280x720')}", "still", still=True),
    "still with grain": Derived("noise=alls=10:allf=t", "still", still=True),
    "head cut": Derived("crop=1280:{cut}:0:720-{cut}", "face_not_seen"),  # their net knows puppets by their hair clips
    "head whole": Derived("crop=1280:{whole}:0:720-{whole}"),
    "letterbox": Derived("pad=1280:960:0:120", inner=(0, 120, 1280, 840)),
    "blurred pillars": Derived(f"crop=720:720,split[a][b];[a]{BLUR}[c];[c][b]overlay=280:0", inner=(280, 0, 1000, 720)),
    "narrow pillars": Derived("crop=360:720,pad=1280:720:460:0:0x8090a0", "border_in_crop", inner=(460, 0, 820, 720)),
    "picture in picture": Derived(
        "crop=720:720,pad=1280:900:520:120:0xf0efe8,drawbox=60:90:380:30:gray:fill,drawbox=60:150:340:30:gray:fill",
        inner=(520, 120, 1240, 840),
    ),
    "slide": Derived("crop=720:720,pad=1280:720:560:0:0xf0efe8", inner=(560, 0, 1280, 720)),
}


@dataclass(frozen=True)
class Studio:
    """What all films are made from.

    Attributes:
        folder: where they lie.
        talk: the good one.
        heads: y of the talk's picture at which a third of the head is cut off, and just above the crown.
        models: the puppets' nets.
    """

    folder: Path
    talk: Path
    heads: dict[str, int]
    models: AssetModels


@pytest.fixture(scope="module")
def studio(tmp_path_factory: pytest.TempPathFactory) -> Studio:
    folder = tmp_path_factory.mktemp("studio")
    pictures, truth = render_take(TALK)
    write_video(folder / "talk.mp4", iter(pictures), None, size=(1280, 720), options={"crf": 14, "preset": "veryfast"})
    face = np.nanmedian(truth.keypoints[0], axis=0)
    brows, chin = face[layout.RIGHT_BROW.start : layout.LEFT_BROW.stop, 1].mean(), face[layout.CHIN, 1]
    crown = brows - 0.75 * (chin - brows)
    heads = {name: 720 - 2 * round(y / 2) for name, y in (("cut", crown + (chin - crown) / 3), ("whole", crown - 16))}
    nets = build_nets(folder / "nets")
    models = AssetModels(theatre_detector=nets["detector"], theatre_pose=nets["pose"])
    return Studio(folder, folder / "talk.mp4", heads, models)


def derive(film: Path, talk: Path, filters: str, still: bool) -> Path:
    """Write the film that these filters make of a talk, or of its first picture."""
    freeze = f"trim=end_frame=1,loop=-1:1,trim=end_frame={probe(talk).grid_frames}," if still else ""
    graph = f"[0:v]{freeze}{filters},format=yuv420p[out]"
    ffmpeg("-i", talk, "-filter_complex", graph, "-map", "[out]", "-crf", 20, "-preset", "veryfast", film)
    return film


def measured(film: Path, run: Path, models: Any, footage: str | None, **nets: Any) -> Row:
    """The one person of the film's one clip, measured."""
    video = {**asdict(probe(film)), "video_id": VIDEO, "path": str(film), "sha256": "", "footage": footage}
    context = Context(run, models=models, threads=2)
    rows: dict[str, list[Row]] = {"videos": [video]}
    shortest = min(5.0, video["duration_seconds"] - 0.1)
    [clip] = Split(vad=(), min_clip_seconds=shortest).worker(context).process(Unit(VIDEO, rows))
    rows["clips"] = [{**dict.fromkeys(KINDS["clips"].schema.names), **clip}]
    rows["persons"] = list(Annotate(**nets).worker(context).process(Unit("c", rows)))
    [row] = MeasurePose().worker(context).process(Unit("c", rows))
    return row


def verdict(row: Row) -> Mapping[str, Any]:
    kept = {key: row[key] for key in ("person_id", "clip_id", "video_id")}
    judge = Judge(require_audio=False).worker(Context(Path()))
    [found] = judge.process(Unit("all", {"persons": [kept], "pose_measures": [row]}))
    return found


@pytest.mark.parametrize("name", DERIVED)
def test_each_derived_clip_comes_out_as_the_table_says(studio: Studio, name: str) -> None:
    derived = DERIVED[name]
    film = studio.folder / f"{name}.mp4"
    derive(film, studio.talk, derived.filters.format(**studio.heads), derived.still)
    nets = {"detector": ("theatre_detector",), "pose": ("theatre_pose",)}
    row = measured(film, studio.folder, studio.models, "theatre", **nets)
    found = verdict(row)
    assert found["keep"] == (not derived.reason), found
    assert not derived.reason or derived.reason in found["reasons"], found
    if derived.inner and not derived.reason:
        x1, y1, x2, y2 = row["crop_box"]
        assert beyond_share((x1, y1, x2, y2), derived.inner) == 0


# Of somebody real, whose crown is at y = 40 of 512 and whose chin at 203: still under a zoom, and a third of the head cut off.
REAL = {
    "still": (f"scale=2048:2048,{ZOOM.format(size='512x512')}", ("own_motion", "picture_motion")),
    "upper_body_incomplete": ("crop=512:418:0:94", ("head_cut_share",)),
}


@pytest.mark.parametrize("reason", REAL)
def test_somebody_real_comes_out_likewise(tmp_path: Path, reason: str) -> None:
    models, talk = AssetModels(), asset("clips/csgpage_demo2.mp4")
    ffmpeg("-i", talk, "-t", 2.6, "-c:v", "copy", "-an", tmp_path / "talk.mp4")
    filters, measures = REAL[reason]
    film = derive(tmp_path / "film.mp4", tmp_path / "talk.mp4", filters, still=reason == "still")
    row = measured(film, tmp_path, models, None, detector=("yolox_nano",), pose=("lite133",))
    details = dict(zip(*(verdict(row)[key] for key in ("reasons", "details")), strict=True))
    assert all(measure in details.get(reason, "") for measure in measures), details
