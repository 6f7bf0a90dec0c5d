"""Shards and their clips laid out for StableAnimator's training: folders of frames, drawn skeletons and face masks.

`rec/00001/{images,poses,faces}/frame_0.png ...` at 512x512, `video_rec_path.txt` with the folders, and `validation/`. About 60 MB
for 10 s. A clip that is there is whole, so that a run that was cut short goes on where it was.
"""

import json
import re
import shlex
import shutil
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.backends.inputs import write_png
from pipeline.base import files
from pipeline.base.arrays import Floats, Picture
from pipeline.base.hashes import sha256_of
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import CLIP_SIDE_PX
from pipeline.media.grid import GridReader
from pipeline.media.reading import AS_IT_STANDS
from pipeline.shards.read import open_shards
from pipeline.skeleton import layout
from pipeline.skeleton.control import draw_control
from pipeline.storage import storage_of
from pipeline.tables import people

MIN_FRAMES = 17  # 16 to learn from and another one for the reference: with fewer its loader divides by zero
VALIDATION_FRAMES = 16
TRAINED = "trained"  # where the command puts the fine-tuned weights
MIN_SCORE = 0.3
LIST, VALIDATION = "video_rec_path.txt", "validation"
_CLIP = "clip.json"
_NUMBER = re.compile(r"\d{5,}")
_COLUMNS = ("clip_id", "person", "frames", "keypoints", "scores", "video", "video_sha256")
_SIDE = (CLIP_SIDE_PX, CLIP_SIDE_PX)

_Laid = tuple[Path, dict[str, Any]]  # the folder of a clip that is laid out, and what it was made of


@dataclass(frozen=True)
class Layout:
    """Counts of what was written.

    Attributes:
        folder: `animation_data` of StableAnimator's readme.
        clips: how many clips are in the list; made: how many of them are new.
        skipped: clip -> why it was left out.
        command: to be run in StableAnimator's checkout, in its environment.
    """

    folder: Path
    clips: int
    made: int
    skipped: Mapping[str, str]
    command: str


def write_layout(
    shards_folder: Path, run_folder: Path, out: Path, splits: Sequence[str] = ("train",), limit: int = 0
) -> Layout:
    """Write the clips of these splits.

    Args:
        shards_folder: of a run.
        run_folder: which the shards' `video` paths start from.
        out: the folder to write; what it holds of the same clips is kept.
        splits: of `pipeline.shards.format.SPLITS`.
        limit: as many clips at most; 0 for all.

    Raises:
        ShardError: the shards cannot be read. ValueError: not one clip can be used; the message says why.
    """
    out = out.absolute()
    rec = out / "rec"
    rec.mkdir(parents=True, exist_ok=True)
    there = _there(rec)
    listed: dict[Path, str] = {}  # folder -> its video
    skipped: dict[str, str] = {}
    made = 0
    for row in _rows(shards_folder, splits):
        if limit and len(listed) >= limit:
            break
        key = f"{row['clip_id']}#{row['person']}"
        before = there.get(key)
        try:
            _bring_up_to_date(there, key, row, rec, run_folder)
        except (Reject, Failure) as error:
            skipped[key] = str(error)
            continue
        made += there[key] != before
        listed[there[key][0]] = people.video_of(key)
    if not listed:
        raise ValueError(f"no clip of {', '.join(splits)} can be used: {next(iter(skipped.values()), 'there is none')}")
    _write_lists(out, listed, run_folder)
    return Layout(out, len(listed), made, skipped, command(out))


def _bring_up_to_date(there: dict[str, _Laid], key: str, row: Mapping[str, Any], rec: Path, run_folder: Path) -> None:
    """Write a clip's folder below `rec`, and enter it, unless it is there as it should be. Raises Reject, Failure."""
    about = {"clip": key, "video_sha256": row["video_sha256"], "frames": row["frames"]}
    folder, known = there.get(key, (None, None))
    if folder is None or known != about:
        folder = folder or rec / f"{max([int(f.name) for f, _ in there.values()], default=0) + 1:05d}"
        with people.noting(run_folder, [folder], [people.video_of(key)]):
            _write_clip(folder, row, run_folder, about)
        there[key] = (folder, about)


def _write_lists(out: Path, listed: Mapping[Path, str], run_folder: Path) -> None:
    """Write which folders are trained on, and of the first the validation's inputs; `listed` says of which video each is."""
    with people.noting(run_folder, [out / LIST], listed.values()):
        files.write_text(out / LIST, "\n".join(map(str, listed)) + "\n")
    first = next(iter(listed))
    with people.noting(run_folder, [out / VALIDATION], [listed[first]]):
        _write_validation(out, first)
    # The weights are not ours to write; whose pictures they have seen has to be known all the same.
    people.note(run_folder, out / TRAINED, listed.values(), more=True)


def command(out: Path) -> str:
    """What fine-tunes StableAnimator on the layout, at one resolution, as of its readme; about 40 GB of GPU memory."""
    arguments = {
        "pretrained_model_name_or_path": "checkpoints/SVD/stable-video-diffusion-img2vid-xt",
        "finetune_mode": True,
        "posenet_model_finetune_path": "checkpoints/Animation/pose_net.pth",
        "face_encoder_finetune_path": "checkpoints/Animation/face_encoder.pth",
        "unet_model_finetune_path": "checkpoints/Animation/unet.pth",
        "output_dir": out / TRAINED,
        "data_root_path": out,
        "data_path": out / LIST,
        "dataset_width": CLIP_SIDE_PX,
        "dataset_height": CLIP_SIDE_PX,
        "validation_image_folder": out / VALIDATION / "ground_truth",
        "validation_control_folder": out / VALIDATION / "poses",
        "validation_image": out / VALIDATION / "reference.png",
        "num_workers": 8,
        "lr_warmup_steps": 500,
        "sample_n_frames": 16,
        "learning_rate": "1e-5",
        "per_gpu_batch_size": 1,
        "num_train_epochs": 6000,
        "mixed_precision": "fp16",
        "gradient_accumulation_steps": 1,
        "checkpointing_steps": 2000,
        "validation_steps": 500,
        "checkpoints_total_limit": 5,
        "resume_from_checkpoint": "latest",
    }
    parts = ["accelerate", "launch", "train_single.py", *(f"--{name}={value}" for name, value in arguments.items())]
    return shlex.join([*parts, "--gradient_checkpointing"])


def face_mask(keypoints: Floats, scores: Floats) -> Picture:
    """(512, 512) uint8: 255 in the box around the face's points, all of it where no face is seen, as theirs does.

    Args:
        keypoints: (133, 2) px of the 512 crop, NaN where unseen.
        scores: (133,).
    """
    face = keypoints[layout.FACE][np.nan_to_num(scores[layout.FACE]) >= MIN_SCORE]
    face = face[layout.seen(face)]
    mask = np.zeros(_SIDE, np.uint8)
    if len(face) == 0:
        mask[:] = 255
        return mask
    x1, y1 = np.clip(np.floor(face.min(0)), 0, CLIP_SIDE_PX).astype(int)
    x2, y2 = np.clip(np.ceil(face.max(0)) + 1, 0, CLIP_SIDE_PX).astype(int)
    mask[y1:y2, x1:x2] = 255
    return mask


def _rows(folder: Path, splits: Sequence[str]) -> Iterator[dict[str, Any]]:
    for split in splits:
        yield from open_shards(folder, split).rows(_COLUMNS)


def _there(rec: Path) -> dict[str, _Laid]:
    """Clips that are laid out: their folder, and what they were made of. Leftovers of a kill are removed."""
    existing = {}
    for folder in rec.iterdir():
        if folder.name.startswith(files.TEMPORARY):
            shutil.rmtree(folder)
        elif _NUMBER.fullmatch(folder.name) and (folder / _CLIP).is_file():
            about = json.loads((folder / _CLIP).read_text(encoding="utf-8"))
            existing[str(about["clip"])] = (folder, dict(about))
    return existing


def _write_clip(target: Path, row: Mapping[str, Any], run_folder: Path, about: Mapping[str, Any]) -> None:
    """Write one clip beside its place, then rename it; Reject or Failure when its video cannot be used."""
    if row["frames"] < MIN_FRAMES:
        raise Reject(Reason.TOO_SHORT, f"{row['frames']} frames, StableAnimator needs {MIN_FRAMES}")
    video = _video(row, run_folder)
    temporary = target.parent / f"{files.TEMPORARY}{uuid.uuid4().hex[:12]}"
    try:
        for name in ("images", "poses", "faces"):
            (temporary / name).mkdir(parents=True)
        count = 0
        with GridReader(video, 0, row["frames"], reading=AS_IT_STANDS) as reader:
            for n, frame in enumerate(reader):
                if frame.pixels.shape != (*_SIDE, 3):
                    raise Reject(
                        Reason.CORRUPT, f"{row['video']} has pictures of {frame.pixels.shape[:2]}, not 512x512"
                    )
                points, scores = row["keypoints"][n], row["scores"][n]
                write_png(temporary / "images" / f"frame_{n}.png", frame.pixels)
                write_png(temporary / "poses" / f"frame_{n}.png", draw_control(points, scores, _SIDE))
                write_png(temporary / "faces" / f"frame_{n}.png", face_mask(points, scores))
                count = n + 1
        if count != row["frames"]:
            raise Reject(Reason.CORRUPT, f"{row['video']} has {count} frames, its shard {row['frames']}")
        (temporary / _CLIP).write_text(json.dumps(dict(about)), encoding="utf-8")
        if target.exists():  # of another video
            shutil.rmtree(target)
        temporary.replace(target)
        files.sync(target.parent)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _video(row: Mapping[str, Any], run_folder: Path) -> Path:
    """The clip's file; Failure when it is not there, Reject when it is another, or lies outside of the run."""
    path = storage_of(run_folder.resolve()).contained(row["video"] or "")
    if path is None:
        raise Reject(Reason.BAD_LINK, f"{row['video']!r} is no file of the run")
    if not path.is_file():
        raise Failure(Reason.SOURCE_MISSING, f"{path} is not there: `make filter` exports the clips")
    if row["video_sha256"] and sha256_of(path) != row["video_sha256"]:
        raise Reject(Reason.CORRUPT, f"{path} is not the file that the shards were made with")
    return path


def _write_validation(out: Path, clip: Path) -> None:
    """What its training films now and then: the first pictures of a clip."""
    folder = out / VALIDATION
    for source, name in (("images", "ground_truth"), ("poses", "poses")):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for n in range(VALIDATION_FRAMES):
            shutil.copyfile(clip / source / f"frame_{n}.png", folder / name / f"frame_{n}.png")
    shutil.copyfile(clip / "images" / "frame_0.png", folder / "reference.png")
