"""Test sets, pairs, videos and scores of `evaluate`; they lie in stores of their own under `evaluation/`."""

import pyarrow as pa

from pipeline.base.units import KEYPOINTS
from pipeline.tables.kinds.kind import BOX, FRAME_LIST_WIDTH, VIDEO, F, I, Kind, S, column, frames

SUBJECTS = Kind(
    "subjects",
    key="subject",
    found=("film",),
    columns=(
        column("subject", S, "", "person_id of a clip of the shards, or the name of a file in a folder"),
        VIDEO,
        column("speaker", S, "", "who it is, within the test set"),
        column("film", S, "path", "its video or folder of frames, relative to the run folder, or absolute"),
        column("film_sha256", S, "hex", "of that file, or of those frames"),
        column("fps", F, "frames/s", "at which its frames were taken; null where the video says it itself"),
        column("frames", I, "frames", "at 25 fps"),
        column("side", I, "px", "of the square that the test set's pictures are brought to"),
        column("keypoints", frames(FRAME_LIST_WIDTH), "px", "of that square; NaN where unseen"),
        column("scores", frames(KEYPOINTS), "0..1", ""),
        column("reference_frame", I, "frames", "the first that shows the whole upper body"),
        column("audio", pa.binary(), "", "FLAC, 16 kHz mono, frames x 640 samples; null without sound"),
    ),
)

PAIRS = Kind(
    "pairs",
    key="pair_id",
    columns=(
        column("pair_id", S, "", "<setting>/<reference>/<voice>"),
        column("setting", S, "", "paired, unpaired, or real: the true video itself"),
        column("reference", S, "", "subject whose picture is given"),
        column("voice", S, "", "subject whose sound is given"),
        column("content", S, "hex", "a hash of what is known of both subjects"),
        column("given", S, "", "another system's video of this pair, its size and when it was changed; else null"),
    ),
)

RENDITIONS = Kind(
    "renditions",
    key="pair_id",
    parent="pairs",
    unit_of="pairs",
    columns=(
        column("pair_id", S, "", "<setting>/<reference>/<voice>"),
        column("film", S, "path", "the video, relative to the evaluation's folder, or absolute"),
        column("film_sha256", S, "hex", "of that file"),
        column("frames", I, "frames", "at 25 fps"),
        column("box", BOX, "px", "x1, y1, x2, y2 of the reference's picture that it shows; may leave the picture"),
        column("keypoints", frames(FRAME_LIST_WIDTH), "px", "that it follows, of that picture; null when unknown"),
        column("scores", frames(KEYPOINTS), "0..1", "of these; null when unknown"),
        column("scale_to_reference", F, "", "shoulder width of the motion's first frame to the reference's"),
        column("away_from_reference", F, "share", "distance of that frame, in shoulder widths of the reference"),
    ),
)

SCORES = Kind(
    "scores",
    key="pair_id",
    parent="renditions",
    unit_of="renditions",
    columns=(
        column("pair_id", S, "", "<setting>/<reference>/<voice>"),
        column("setting", S, "", "paired, unpaired or real"),
        column("compared_frames", I, "frames", "of the video with the true one"),
        column("ssim", F, "", "structural similarity with the true frames, mean"),
        column("psnr_db", F, "dB", "peak signal-to-noise ratio with the true frames, mean"),
        column("csim", F, "cosine", "likeness of the faces to the reference's, mean over frames"),
        column("csim_frames", I, "frames", "with a face"),
        column("sync_c", F, "", "SyncNet's confidence"),
        column("sync_d", F, "", "SyncNet's least mean distance"),
        column("fid_features", frames(2048), "", "Inception's, a list a frame"),
        column("fvd_features", frames(400), "", "I3D's, a list a span of frames"),
        column("keypoint_error_px", F, "px", "of 512: mean distance from the true keypoints"),
        column("mouth_error_px", F, "px", "of 512: likewise, of the mouth, from the nose"),
        column("hand_error_px", F, "px", "of 512: likewise, of the hands, from the wrists"),
        column("jitter_px_s3", F, "px/s^3", "of 512: mean size of the third derivative"),
        column("beat_alignment", F, "0..1", "how near the sound's beats are to those of the motion"),
        column("mouth_correlation", F, "", "of the mouth's opening with the loudness"),
        column("absent", S, "JSON", "of each measure that is null, why"),
    ),
)
