"""The output files of a generation: the motion as `.npz` in the picture's pixels and as a Parquet row in the shards' format."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pipeline.base import files
from pipeline.base.arrays import Floats32
from pipeline.base.units import FPS
from pipeline.media.audio import to_flac
from pipeline.model.generation.inputs import Person, Voice
from pipeline.shards.write import write_shard
from pipeline.skeleton.align import Similarity
from pipeline.skeleton.local import from_local, to_local


@dataclass(frozen=True)
class PersonMotion:
    """A person's motion, in the picture's pixels and in the model's frame.

    Attributes:
        keypoints: (F, 133, 2) px of the reference's picture; scores (F, 133).
        crop: the same keypoints in px of the model's 512 crop.
        local, neck: the crop's local coordinates (F, 133, 2), and the neck's path (F, 2).
        into: picture px -> px of the 512 crop.
    """

    keypoints: Floats32
    scores: Floats32
    crop: Floats32
    local: Floats32
    neck: Floats32
    into: Similarity

    @classmethod
    def generated(cls, local: Floats32, neck: Floats32, scores: Floats32, into: Similarity) -> "PersonMotion":
        """Build from a model's output: local (F, 133, 2) and neck (F, 2) px of the crop, scores (133,)."""
        crop = from_local(local, neck).astype(np.float32)
        picture = into.inverse().apply(crop).astype(np.float32)
        return cls(picture, np.broadcast_to(scores, crop.shape[:2]).astype(np.float32), crop, local, neck, into)

    @classmethod
    def transferred(cls, keypoints: Floats32, scores: Floats32, into: Similarity) -> "PersonMotion":
        """Build from a true motion: keypoints (F, 133, 2) px of the reference's picture, scores (F, 133)."""
        crop = into.apply(keypoints).astype(np.float32)
        local, neck = to_local(crop)
        return cls(keypoints.astype(np.float32), scores.astype(np.float32), crop, local, neck, into)


def write(
    out: Path, moved: PersonMotion, person: Person, voice: Voice, audio_of: str, about: Mapping[str, Any]
) -> list[Path]:
    """Write the `.npz` and the `.parquet` beside `out`, each atomically; returns their paths.

    `.npz`: keypoints (F, 133, 2) px of the reference's picture, scores (F, 133), size (width, height), fps; for use in the
    model's frame crop_keypoints, local (F, 133, 2) and neck (F, 2) px of the 512 crop; about: JSON.

    Args:
        out: path of the video; its suffix is replaced.
        moved: the motion.
        person, voice: the inputs it was made from.
        audio_of: the extractor of the voice's features; "" when there are none.
        about: further entries of the JSON.
    """
    about_json = _description(moved, person, voice, audio_of, about)
    out.parent.mkdir(parents=True, exist_ok=True)
    arrays, table = out.with_suffix(".npz"), out.with_suffix(".parquet")
    with files.replacing(arrays) as temporary:
        np.savez_compressed(
            temporary,
            keypoints=moved.keypoints,
            scores=moved.scores,
            size=np.array(person.size),
            fps=np.array(FPS),
            crop_keypoints=moved.crop,
            local=moved.local,
            neck=moved.neck,
            about=np.array(about_json),
        )
    row = _row(out.stem, moved, person, voice)
    write_shard(table, [{**row, "audio_features_of": audio_of or None, "versions": about_json}])
    return [arrays, table]


def _description(moved: PersonMotion, person: Person, voice: Voice, audio_of: str, about: Mapping[str, Any]) -> str:
    """What the motion was made from, as JSON."""
    described = {
        "reference": person.name,
        "voice": voice.name,
        "audio_features_of": audio_of,
        "placed": {"scale": moved.into.scale, "angle": moved.into.angle, "shift": moved.into.shift},
        **about,
    }
    return json.dumps(described, sort_keys=True, default=str)


def _row(clip_id: str, moved: PersonMotion, person: Person, voice: Voice) -> dict[str, Any]:
    """The motion as a row of a shard."""
    return {
        "clip_id": clip_id,
        "person": 0,
        "start_seconds": 0.0,
        "frames": len(moved.crop),
        "fps": float(FPS),
        "source_width": person.size[0],
        "source_height": person.size[1],
        "keypoints": moved.crop,
        "scores": moved.scores,
        "neck": moved.neck,
        "audio": to_flac(voice.wave),
    }
