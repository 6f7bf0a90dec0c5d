"""Sample videos: a held-out clip's truth beside what the model generates, with the voice."""

from pathlib import Path

import numpy as np

from pipeline.media.skeleton_film import write_skeletons
from pipeline.model.audio_to_skeleton import GUIDANCE_PAIRED, AudioToSkeleton, Reference
from pipeline.model.training.cache import Cache
from pipeline.shards.read import decode_audio, open_shards
from pipeline.skeleton import layout
from pipeline.skeleton.layout import seen
from pipeline.skeleton.local import from_local

MOST_FRAMES = 250


def draw_sample(model: AudioToSkeleton, held_out: Cache, shards: Path, path: Path, clip: int = 0) -> None:
    """Write a video with the truth on the left, the generated motion on the right (paired, 20 steps of DDIM).

    Args:
        model: the model to sample from; the reference is a frame of the clip itself.
        held_out: the split of the clip.
        shards: folder of the shards, which hold the sound.
        path: of the mp4.
        clip: index within the split.
    """
    frames = min(MOST_FRAMES, int(held_out.frames[clip]))
    span = slice(int(held_out.first[clip]), int(held_out.first[clip]) + frames)
    local, neck = held_out.local(clip)[:frames], np.asarray(held_out.neck[span])
    best = int(held_out.valid[span][:, list(layout.UPPER_BODY.values())].sum(1).argmax())
    reference = Reference(np.nan_to_num(local[best]), np.asarray(held_out.valid[span][best]), neck[best])
    model.net.eval()
    made = model.generate(np.asarray(held_out.audio[span]), reference, guidance=GUIDANCE_PAIRED, sampler="ddim")
    truth, scores = from_local(local, neck), seen(local).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    generated = (from_local(made.local, made.neck), made.scores)
    write_skeletons(path, [(truth, scores), generated], _wave(shards, held_out, clip, frames))


def _wave(shards: Path, held_out: Cache, clip: int, frames: int) -> np.ndarray | None:
    """The clip's sound, (frames x 640,)."""
    from pipeline.media.audio import cut

    for row in open_shards(shards, held_out.index["split"]).rows(("clip_id", "person", "audio")):
        if f"{row['clip_id']}#{row['person']}" == held_out.ids[clip]:
            return None if row["audio"] is None else cut(decode_audio(row["audio"]), 0, frames)
    return None
