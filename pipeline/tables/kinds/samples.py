"""Kept persons as the data set shows them, and what is known of each."""

import pyarrow as pa

from pipeline.base.units import KEYPOINTS
from pipeline.tables.kinds.kind import (
    BOX,
    CLIP,
    FRAME_LIST_WIDTH,
    PERSON,
    VIDEO,
    F,
    I,
    Kind,
    S,
    column,
    frames,
)

SAMPLES = Kind(
    "samples",
    key="person_id",
    parent="verdicts",
    parent_where="keep",
    unit_of="verdicts",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
        column("frames", I, "frames", "at 25 fps"),
        column("crop_box", BOX, "px", "x1, y1, x2, y2, half open, source pixels"),
        column("keypoints", frames(FRAME_LIST_WIDTH), "px", "smoothed, of the 512 crop; NaN where unseen"),
        column("scores", frames(KEYPOINTS), "0..1", ""),
        column("local", frames(FRAME_LIST_WIDTH), "px", "relative to neck, nose and wrists"),
        column("neck", frames(2), "px", "the neck's own path in the 512 crop"),
        column("video", S, "path", "512x512 mp4, relative to the run folder"),
        column("video_sha256", S, "hex", ""),
        column("video_bytes", pa.int64(), "B", ""),
        column("audio", pa.binary(), "", "FLAC, 16 kHz mono, frames x 640 samples; null without sound"),
    ),
)

ATTRIBUTES = Kind(
    "attributes",
    key="person_id",
    parent="samples",
    unit_of="samples",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
        column("gender", S, "", "male or female, as the net sees it; null when it was not asked"),
        column("gender_agreement", F, "share", "of the looked-at frames that say so"),
        column("age_years", F, "years", "median over frames"),
        column("age_spread_years", F, "years", "half the range of the middle half of the frames"),
        column("ethnicity", S, "", "as the net sees it"),
        column("ethnicity_agreement", F, "share", "of the looked-at frames that say so"),
        column("emotion", S, "", "as the net sees it"),
        column("emotion_agreement", F, "share", "of the looked-at frames that say so"),
        column("attribute_frames", I, "frames", "sharp frontal ones that were looked at"),
        column("identity_agreement", F, "cosine", "mean likeness of the frames' identities to their mean"),
        column("identity", pa.list_(pa.float32()), "", "unit vector of the face; stays in the run folder"),
    ),
)

SPEAKERS = Kind(
    "speakers",
    key="person_id",
    parent="attributes",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
        column("speaker", S, "", "who it is, within this run"),
        column("speaker_samples", I, "", "samples of that speaker"),
    ),
)

AUDIO_FEATURES = Kind(
    "audio_features",
    key="person_id",
    parent="samples",
    unit_of="videos",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
        column("audio_features_of", S, "", "what made them: wav2vec2-base-960h/<layer>, or logmel768"),
        column("audio_features", frames(768, pa.float16()), "", "on the 25-fps grid; null without sound"),
    ),
)
