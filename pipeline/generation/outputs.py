"""What a generation leaves: the video with the voice, an .npz in the picture's pixels, a Parquet row as in the shards."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from pipeline import files, shard
from pipeline.generation.given import Person, Voice
from pipeline.generation.place import Placed
from pipeline.media.audio import to_flac
from pipeline.nets.audio_to_skeleton import AudioToSkeleton, Motion
from pipeline.skeleton.film import write_skeletons
from pipeline.skeleton.local import from_local


def write(
    out: Path,
    motion: Motion,
    placed: Placed,
    person: Person,
    voice: Voice,
    settings: Mapping[str, Any],
    model: AudioToSkeleton,
) -> list[Path]:
    """Write all three, each atomically; returns their paths.

    `.npz`: keypoints (F, 133, 2) px of the reference's picture, scores (F, 133), size (width, height), fps; and for whoever
    goes on in the model's frame crop_keypoints, local (F, 133, 2) and neck (F, 2) px of the 512 crop; about: JSON.
    """
    crop = from_local(motion.local, motion.neck).astype(np.float32)
    picture = placed.into.inverse().apply(crop).astype(np.float32)
    scores = np.broadcast_to(motion.scores, crop.shape[:2])
    about = {
        "reference": person.name,
        "voice": voice.name,
        "settings": {name: value for name, value in settings.items() if not str(value).startswith("/")},
        "audio_features_of": model.audio_of,
        "net": model.settings.model_dump(),
        "placed": {"scale": placed.into.scale, "angle": placed.into.angle, "shift": placed.into.shift},
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    arrays, table = out.with_suffix(".npz"), out.with_suffix(".parquet")
    with files.replacing(arrays) as temporary:
        np.savez_compressed(
            temporary,
            keypoints=picture,
            scores=scores,
            size=np.array(person.size),
            fps=np.array(shard.FPS),
            crop_keypoints=crop,
            local=motion.local,
            neck=motion.neck,
            about=np.array(json.dumps(about, sort_keys=True, default=str)),
        )
    row = {
        "clip_id": out.stem,
        "person": 0,
        "start_seconds": 0.0,
        "frames": len(crop),
        "fps": float(shard.FPS),
        "source_width": person.size[0],
        "source_height": person.size[1],
        "keypoints": crop,
        "scores": scores,
        "neck": motion.neck,
        "audio": to_flac(voice.wave),
        "audio_features_of": model.audio_of,
        "versions": json.dumps(about, sort_keys=True, default=str),
    }
    shard.write(table, [row])
    write_skeletons(out, [(picture, scores)], voice.wave, person.size)
    return [out, arrays, table]
