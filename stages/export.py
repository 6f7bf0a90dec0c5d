"""Kept speakers as samples: the square clip with its sound, and the keypoints in its pixels."""

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, PrivateAttr

from pipeline.base.arrays import Picture
from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Reason, Reject
from pipeline.base.units import CLIP_SIDE_PX, Row
from pipeline.engine.settings import SWITCHABLE
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit

# Decoders, scipy and OpenCV are imported where they are used: a run with nothing to do must not wait for them.
if TYPE_CHECKING:
    from pipeline.base.units import Box
    from pipeline.media.last_wave import LastWave
    from pipeline.media.video import GridFrame


FOLDER = "clips"
AHEAD_PICTURES = 4  # decoded while others are cut and encoded


class Export(Stage):
    """Cuts, scales and encodes a kept speaker's clip, and maps the skeleton into it."""

    name: ClassVar[str] = "export"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "square clips of kept speakers, with keypoints mapped, smoothed and in local coordinates"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("verdicts", ("person_id", "clip_id", "video_id"), where="keep"),
        Reads("persons", ("keypoints", "scores", "smoothed")),
        Reads("pose_measures", ("crop_box",)),
        Reads("lip_syncs", ("sound_shift_frames",)),
        Reads("clips", ("first_frame", "frames")),
        Reads("videos", ("path", "sha256", "audio_codec")),
    )
    writes: ClassVar[str] = "samples"
    unit: ClassVar[str] = "person_id"
    resources: ClassVar[Resources] = Resources(seconds=900)

    side_px: int = Field(CLIP_SIDE_PX, ge=64, multiple_of=2, description="side of the clip, pixels")
    crf: int = Field(18, ge=0, le=51, description="x264's quality; lower is better and larger")
    preset: str = Field("medium", pattern="^[a-z]+$", description="x264's speed")
    encoder_threads: int = Field(4, ge=1, description="x264's threads; their number changes the bytes of the clip")
    smoothing: Literal["paper", "release"] = Field(
        "paper", description="paper: all but the mouth; release: the mouth too, lightly"
    )
    max_upscale: Annotated[float | None, SWITCHABLE] = Field(
        3.0, gt=0, description="crops that would be enlarged more than this many times go"
    )
    max_missing_share: float = Field(0.1, ge=0, le=1, description="share of the clip's pictures that may not decode")

    _context: Context = PrivateAttr()
    _waves: "LastWave" = PrivateAttr()

    def setup(self, context: Context) -> None:
        from pipeline.media.last_wave import LastWave

        self._context = context
        self._waves = LastWave()

    def process(self, unit: Unit) -> Iterator[Row]:
        from pipeline.media.audio import to_flac
        from pipeline.media.guard import disk_name
        from pipeline.skeleton.refine import refine

        verdict, person, clip = unit.row("verdicts"), unit.row("persons"), unit.row("clips")
        frames = clip["frames"]
        box = self._box(unit)
        scores = np.asarray(person["scores"], np.float32)
        points = np.asarray(person["keypoints"], np.float32).reshape(frames, -1, 2)
        once = None if person.get("smoothed") else self.smoothing  # released poses came smoothed
        refined = refine(points, scores, box, self.side_px, once)
        sound = self._sound(unit)
        name = disk_name(verdict["person_id"])
        video = Path(FOLDER, name[-10:-8], f"{name}.mp4")  # the name ends with ten hex digits of the id's hash
        size_bytes, sha256 = self._write(self._context.run / video, unit, box, sound)
        yield {
            **{key: verdict[key] for key in ("person_id", "clip_id", "video_id")},
            "frames": frames,
            "crop_box": list(box),
            "keypoints": refined.keypoints.reshape(frames, -1),
            "scores": scores,
            "local": refined.local.reshape(frames, -1),
            "neck": refined.neck,
            "video": video.as_posix(),
            "video_sha256": sha256,
            "video_bytes": size_bytes,
            "audio": None if sound is None else to_flac(sound),
        }

    def _box(self, unit: Unit) -> "Box":
        """The crop that was judged."""
        from pipeline.skeleton.crop import square

        values = [row["crop_box"] for row in unit.rows("pose_measures") if row["crop_box"] is not None]
        if not values:
            raise Reject(Reason.NOT_MEASURED, "there is no crop: nothing of the upper body is seen")
        x1, y1, x2, y2 = (int(value) for value in values[0])
        left, _, right, _ = square((x1, y1, x2, y2))
        if self.max_upscale is not None and self.side_px > self.max_upscale * (right - left):
            raise Reject(
                Reason.CROP_TOO_SMALL, f"crop side {right - left} px, enlarged over {self.max_upscale:g} times"
            )
        return x1, y1, x2, y2

    def _sound(self, unit: Unit) -> NDArray[np.float32] | None:
        clip, video = unit.row("clips"), unit.row("videos")
        if not video["audio_codec"]:
            return None
        mended = [
            row["sound_shift_frames"] or 0 for row in unit.rows("lip_syncs")
        ]  # frames later, where lip_sync said so
        first = clip["first_frame"] - (mended[0] if mended else 0)
        return self._waves.piece(self._context.run / video["path"], first, clip["frames"])

    def _write(self, target: Path, unit: Unit, box: "Box", sound: NDArray[np.float32] | None) -> tuple[int, str]:
        """Stream the pictures from decoder to encoder; returns the file's size in bytes and its sha256."""
        from pipeline.media.ahead import reading_ahead
        from pipeline.media.video import GridReader, write_clip

        clip, source = unit.row("clips"), self._context.run / unit.row("videos")["path"]
        first, frames = clip["first_frame"], clip["frames"]
        target.parent.mkdir(parents=True, exist_ok=True)
        reader = GridReader(source, first, frames, threads=self._context.threads)
        with reader, reading_ahead(reader, AHEAD_PICTURES) as pictures:
            write_clip(
                target,
                all_pictures(pictures, first, frames, box, self.side_px, self.max_missing_share),
                sound,
                size=(self.side_px, self.side_px),
                crf=self.crf,
                preset=self.preset,
                threads=self.encoder_threads,
            )
        return target.stat().st_size, sha256_of(target)


def all_pictures(
    reader: "Iterable[GridFrame]", first: int, frames: int, box: "Box", side: int, max_missing_share: float
) -> Iterator[Picture]:
    """Exactly `frames` crops (side, side, 3); where the file ends early the last one stays.

    Raises:
        Reject: CORRUPT when more than this share of the pictures is missing.
    """
    from pipeline.skeleton.crop import cut

    crop: Picture | None = None
    shown = 0
    for frame in reader:
        if crop is None or not frame.repeated:
            crop = cut(frame.pixels, box, side)
        while shown <= frame.n - first:
            yield crop
            shown += 1
    missing = frames - shown
    if crop is None or missing > max_missing_share * frames:
        raise Reject(Reason.CORRUPT, f"{missing} of {frames} pictures do not decode")
    for _ in range(missing):
        yield crop


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("export")
