"""The table kinds: what each row is, what each column holds, and in which unit.

Stages meet in these tables and nowhere else. A schema grows by nullable columns only; readers fill what older
parts lack with nulls. Field metadata carries the unit and a sentence, which report, shards and `csg405 show` print.
"""

from dataclasses import dataclass

import pyarrow as pa

from pipeline.base.units import KEYPOINTS

FRAME_LIST_WIDTH = 2 * KEYPOINTS


def column(name: str, kind: pa.DataType, unit: str, text: str) -> pa.Field:
    """One column: its Arrow type, unit ("" where none applies) and description."""
    return pa.field(name, kind, metadata={"unit": unit, "text": text})


def is_path(field: pa.Field) -> bool:
    """Whether a column holds the path of a file."""
    return bool(field.metadata and field.metadata.get(b"unit") == b"path")


def frames(width: int, dtype: pa.DataType | None = None) -> pa.DataType:
    """A list over frames of `width` numbers each: numpy shape (frames, width)."""
    return pa.list_(pa.list_(dtype or pa.float32(), width))


@dataclass(frozen=True)
class Kind:
    """A table kind.

    Attributes:
        name: folder name under `tables/`.
        key: the column that names a row.
        parent: the kind whose live rows this one hangs on; a row whose parent row is gone does not count.
        parent_where: a boolean column of the parent that must be true, or "".
        unit_of: the kind whose keys are the units of the stage that writes this one; "" where units come from outside.
        columns: the schema without the bookkeeping columns that the table adds.
    """

    name: str
    key: str
    parent: str
    parent_where: str
    unit_of: str
    columns: tuple[pa.Field, ...]

    @property
    def schema(self) -> pa.Schema:
        return pa.schema(self.columns)

    @property
    def heavy(self) -> tuple[str, ...]:
        """Columns whose hash is stored beside them, so that planning never reads their content."""
        return tuple(f.name for f in self.columns if pa.types.is_nested(f.type) or pa.types.is_binary(f.type))


S, F, I, B = pa.string(), pa.float64(), pa.int32(), pa.bool_()  # noqa: E741 - a table of types reads better short
BOX = pa.list_(I, 4)

_VIDEO = column("video_id", S, "", "yt:<11 characters> or file:<first 16 hex of its sha256>")
_CLIP = column("clip_id", S, "", "<video_id>/<first frame>+<frames>")
_PERSON = column("person_id", S, "", "<clip_id>#<rank by first frame seen, then x>")

_KINDS = (
    Kind(
        "types",
        "speech_type",
        "",
        "",
        "",
        (
            column("speech_type", S, "", "its name, such as Panel Forum"),
            column("group", S, "", "Speech and Lecture, Interview and Discussion, News, ..."),
            column("register", S, "", "formal or casual"),
            column("share_percent", F, "%", "of the paper's clips (figure 2a); null where the paper has none"),
            column("languages", pa.list_(S), "", "codes such as en, one an entry of `keywords`"),
            column("keywords", pa.list_(pa.list_(S)), "", "search keywords, a list a language"),
            column("origin", S, "", "shipped, a manifest's name, or the model that named it"),
            column("prompt_sha256", S, "hex", "of the prompt that brought it; null when none did"),
            column("date", S, "YYYY-MM-DD", "when it was named; null for the shipped list"),
        ),
    ),
    Kind(
        "sources",
        "source",
        "types",
        "",
        "",
        (
            column("source", S, "", "canonical link"),
            column("video_id", S, "", "yt:<11 characters>"),
            column("speech_type", S, "", "of the search that found it first"),
            column("language", S, "", "of that search"),
            column("query", S, "", "that search"),
            column("query_rank", I, "", "its place in that search, from 1"),
            column("title", S, "", ""),
            column("channel", S, "", ""),
            column("channel_id", S, "", ""),
            column("channel_handle", S, "", "@name, where the site has such"),
            column("duration_seconds", F, "s", "as announced; null when unknown"),
        ),
    ),
    Kind(
        "checks",
        "source",
        "",
        "",
        "",
        (
            column("source", S, "", "canonical link"),
            column("video_id", S, "", "null where the link names none"),
            column("state", S, "", "live, dead, blocked or unknown"),
            column("reason", S, "", "code; null when live"),
            column("detail", S, "", "what the site said"),
            column("checked", S, "YYYY-MM-DD", "day of the check, UTC"),
        ),
    ),
    Kind(
        "videos",
        "video_id",
        "",
        "",
        "",
        (
            _VIDEO,
            column("source", S, "", "the link or file that was asked for"),
            column("url", S, "", "canonical web address; null for local files"),
            column("path", S, "path", "the file: relative to the run folder, or absolute where it was found"),
            column("sha256", S, "hex", "hash of the file"),
            column("bytes", pa.int64(), "B", "size of the file"),
            column("container", S, "", "demuxer that reads it"),
            column("duration_seconds", F, "s", "measured from its packets"),
            column("grid_frames", I, "frames", "pictures on the 25-fps grid"),
            column("width", I, "px", "after rotation and sample aspect"),
            column("height", I, "px", "after rotation and sample aspect"),
            column("source_fps", F, "1/s", "measured picture rate of the source"),
            column("variable_rate", B, "", "pictures are not evenly spaced"),
            column("rotation_degrees", I, "deg", "rotation that a player applies"),
            column("interlaced", B, "", "was deinterlaced on reading"),
            column("video_codec", S, "", ""),
            column("pixel_format", S, "", ""),
            column("audio_codec", S, "", "null when there is no sound track"),
            column("audio_sample_rate", I, "Hz", ""),
            column("audio_channels", I, "", ""),
            column("truncated", B, "", "ends before its container says"),
            column("title", S, "", ""),
            column("channel", S, "", ""),
            column("channel_id", S, "", ""),
            column("channel_handle", S, "", "@name, where the site has such"),
            column("licence", S, "", "as the source states it; null when unknown"),
            column("upload_date", S, "YYYY-MM-DD", ""),
            column("speech_type", S, "", "null when unknown"),
            column("language", S, "", ""),
            column("query", S, "", "the search that found it"),
            column("query_rank", I, "", "its place in that search"),
            column("format", S, "", "formats fetched and what was offered: ids, size, codecs; null for local files"),
            column("resolution_fallback", S, "", "`up` or `down` where no 1280x720 was offered; null where it was"),
            column("footage", S, "", "`theatre` for the demo's puppets, else null"),
        ),
    ),
    Kind(
        "clips",
        "clip_id",
        "videos",
        "",
        "videos",
        (
            _CLIP,
            _VIDEO,
            column("first_frame", I, "frames", "on the 25-fps grid of the video"),
            column("frames", I, "frames", "at 25 fps"),
            column("start_seconds", F, "s", "first_frame / 25, or what the manifest said"),
            column("end_seconds", F, "s", ""),
            column("shot", I, "", "index of the shot in the video"),
            column("shot_first_frame", I, "frames", ""),
            column("shot_frames", I, "frames", ""),
            column("camera_motion", F, "picture widths/s", "95th percentile of global camera motion"),
            column(
                "repeated_frames",
                F,
                "share",
                "pictures that repeat the one before beyond what the source rate explains",
            ),
            column("manifest_crop_box", pa.list_(F, 4), "px", "x1, y1, x2, y2 as released, in pixels of the video"),
            column(
                "manifest_crop_boxes",
                frames(4, F),
                "px",
                "all of them, where several rows show these pictures; else null",
            ),
            column("manifest_line", I, "", "line or entry of the manifest, from 1; null where there is none"),
            column("manifest_name", S, "", "{vid}_{part}_{start}_{end} of the manifest"),
        ),
    ),
    Kind(
        "persons",
        "person_id",
        "clips",
        "",
        "clips",
        (
            _PERSON,
            _CLIP,
            _VIDEO,
            column("person", I, "", "rank by (first frame seen, x)"),
            column("frames", I, "frames", "of the clip"),
            column("frames_seen", I, "frames", "in which the person is seen"),
            column("width", I, "px", "picture"),
            column("height", I, "px", "picture"),
            column(
                "keypoints", frames(FRAME_LIST_WIDTH), "px", "x, y of 133 points in source pixels; NaN where unseen"
            ),
            column("scores", frames(KEYPOINTS), "0..1", "confidence a point"),
            column("boxes", frames(4), "px", "x1, y1, x2, y2 a frame; NaN where unseen"),
            column(
                "face_sharpness",
                pa.list_(pa.float32()),
                "grey levels^2",
                "variance of the Laplacian of the face at a fixed size, a frame",
            ),
            column("smoothed", B, "", "keypoints came smoothed (released poses): never smooth them again"),
            column("pose_space", S, "", "space in which released poses were found to be; null for our own"),
            column(
                "frame_offset", I, "frames", "by which released poses are shifted against the clip; null for our own"
            ),
            column(
                "agreement",
                F,
                "shoulder widths",
                "median distance of released poses to our own annotation, where compared",
            ),
        ),
    ),
    Kind(
        "pose_measures",
        "person_id",
        "persons",
        "",
        "clips",
        (
            _PERSON,
            _CLIP,
            _VIDEO,
            column("persons_in_clip", I, "", ""),
            column("seen_share", F, "share", "frames in which the person is seen"),
            column("upper_body_share", F, "share", "frames with nose, shoulders and elbows all scored"),
            column("worst_joint", S, "", "upper-body joint seen least often"),
            column("worst_joint_share", F, "share", "frames in which that joint is seen"),
            column("wrists_share", F, "share", "frames with both wrists scored"),
            column("shoulder_width_px", F, "px", "median distance of the shoulders, source pixels"),
            column("shoulder_width_share", F, "share", "of the picture's width"),
            column("box_height_px", F, "px", "median height of the person's box"),
            column("box_height_share", F, "share", "of the picture's height"),
            column("yaw_degrees", F, "deg", "median of |yaw| of head and shoulders; 90 is a profile"),
            column("back_share", F, "share", "frames in which the person is seen from the back"),
            column("wrist_speed_median", F, "shoulder widths/s", "relative to the neck"),
            column("wrist_speed_p95", F, "shoulder widths/s", "relative to the neck"),
            column("arm_range", F, "shoulder widths", "how far the widest-ranging wrist or elbow gets about"),
            column("hand_seen_share", F, "share", "frames with at least one hand scored"),
            column("both_hands_share", F, "share", "frames with both hands scored"),
            column("face_seen_share", F, "share", "frames with the face scored"),
            column("face_sharpness", F, "grey levels^2", "median over frames"),
            column("jitter", F, "shoulder widths", "median high-frequency residual of the body"),
            column("camera_motion", F, "picture widths/s", "of the clip"),
            column("repeated_frames", F, "share", "of the clip"),
            column(
                "another_person_share",
                F,
                "share",
                "frames in which another person's head or shoulders are inside the crop",
            ),
            column("crop_box", BOX, "px", "x1, y1, x2, y2, half open; may leave the picture"),
            column("crop_side_px", I, "px", "side of the crop in source pixels"),
            column(
                "manifest_overlap", F, "share", "of the person's box that lies in the manifest's crop; null without one"
            ),
            column("clips_person", B, "", "the person that the manifest means; null where there is no manifest"),
        ),
    ),
    Kind(
        "sound_measures",
        "clip_id",
        "clips",
        "",
        "clips",
        (
            _CLIP,
            _VIDEO,
            column("has_audio", B, "", ""),
            column("speech_share", F, "share", "of the clip that the voice detector hears as speech"),
            column("longest_pause_seconds", F, "s", "without speech"),
            column("loudness_dbfs", F, "dBFS", "root mean square"),
            column("peak_dbfs", F, "dBFS", ""),
            column("clipped_share", F, "share", "samples at full scale"),
            column("silence_share", F, "share", "20-ms frames under -60 dBFS"),
        ),
    ),
    Kind(
        "overlaps",
        "clip_id",
        "clips",
        "",
        "videos",
        (
            _CLIP,
            _VIDEO,
            column("overlap_seconds", F, "s", "in which two voices or more are heard at once"),
            column("overlap_share", F, "share", "of the clip in which two voices or more are heard at once"),
            column("longest_overlap_seconds", F, "s", "the longest span with two voices or more at once"),
            column("voices", I, "", "different voices heard within ten seconds, at most"),
            column("voiced_share", F, "share", "of the clip in which the segmentation net hears a voice"),
            column(
                "voice_scores",
                frames(2),
                "0..1",
                "some voice, two voices: a row each 270 samples (16.9 ms) whose middle is in the clip; null unless asked for",
            ),
        ),
    ),
    Kind(
        "lip_syncs",
        "person_id",
        "persons",
        "",
        "clips",
        (
            _PERSON,
            _CLIP,
            _VIDEO,
            column("lip_offset_frames", I, "frames", "at 25 fps; positive: the sound comes before the lips"),
            column("lip_confidence", F, "", "SyncNet's: median minus least distance over the offsets"),
            column("lip_distance", F, "", "SyncNet's least mean distance of lips and sound"),
            column("lip_frames", I, "frames", "pictures with a face that were compared"),
            column("best_lips", B, "", "of the clip's people, the lips that fit the sound best"),
            column(
                "sound_shift_frames", I, "frames", "by which the sound is moved later to mend it; null: left as it is"
            ),
            column(
                "lip_offset_left_frames", F, "frames", "size of the offset that is left, measured again after a shift"
            ),
        ),
    ),
    Kind(
        "verdicts",
        "person_id",
        "persons",
        "",
        "",
        (
            _PERSON,
            _CLIP,
            _VIDEO,
            column("keep", B, "", ""),
            column("reasons", pa.list_(S), "", "codes of every reason against it, not the first alone"),
            column("details", pa.list_(S), "", "a line a reason: measure, value, threshold"),
            column("unmeasured", pa.list_(S), "", "measures that were not there to be judged"),
            column("overridden", B, "", "a human decided"),
        ),
    ),
    Kind(
        "samples",
        "person_id",
        "verdicts",
        "keep",
        "verdicts",
        (
            _PERSON,
            _CLIP,
            _VIDEO,
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
    ),
    Kind(
        "attributes",
        "person_id",
        "samples",
        "",
        "samples",
        (
            _PERSON,
            _CLIP,
            _VIDEO,
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
    ),
    Kind(
        "speakers",
        "person_id",
        "attributes",
        "",
        "",
        (
            _PERSON,
            _CLIP,
            _VIDEO,
            column("speaker", S, "", "who it is, within this run"),
            column("speaker_samples", I, "", "samples of that speaker"),
        ),
    ),
    Kind(
        "audio_features",
        "person_id",
        "samples",
        "",
        "videos",
        (
            _PERSON,
            _CLIP,
            _VIDEO,
            column("audio_features_of", S, "", "what made them: wav2vec2-base-960h/<layer>, or logmel768"),
            column("audio_features", frames(768, pa.float16()), "", "on the 25-fps grid; null without sound"),
        ),
    ),
    Kind(
        "previews",
        "preview_id",
        "",
        "",
        "",
        (
            column("preview_id", S, "", "a person_id, clip_id or video_id"),
            _VIDEO,
            column("path", S, "path", "picture, relative to the run folder"),
        ),
    ),
    Kind(
        "shards",
        "bucket",
        "",
        "",
        "",
        (
            column("bucket", S, "", "<split>-<number>"),
            column("split", S, "", "train, validation or test"),
            column("path", S, "path", "Parquet file, relative to the run folder"),
            column("sha256", S, "hex", ""),
            column("bytes", pa.int64(), "B", ""),
            column("rows", I, "", "samples in it"),
            column("seconds", F, "s", "of clips in it"),
        ),
    ),
    Kind(
        "reports", "report", "", "", "", (column("report", S, "", "name"), column("path", S, "path", "its first page"))
    ),
    Kind(
        "releases",
        "release",
        "",
        "",
        "",
        (column("release", S, "", "name"), column("path", S, "path", "its index"), column("rows", I, "", "speakers")),
    ),
    Kind(
        "subjects",
        "subject",
        "",
        "",
        "",
        (
            column("subject", S, "", "person_id of a clip of the shards, or the name of a file in a folder"),
            _VIDEO,
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
    ),
    Kind(
        "pairs",
        "pair_id",
        "",
        "",
        "",
        (
            column("pair_id", S, "", "<setting>/<reference>/<voice>"),
            column("setting", S, "", "paired, unpaired, or real: the true video itself"),
            column("reference", S, "", "subject whose picture is given"),
            column("voice", S, "", "subject whose sound is given"),
            column("content", S, "hex", "a hash of what is known of both subjects"),
            column("given", S, "", "another system's video of this pair, its size and when it was changed; else null"),
        ),
    ),
    Kind(
        "renditions",
        "pair_id",
        "pairs",
        "",
        "pairs",
        (
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
    ),
    Kind(
        "scores",
        "pair_id",
        "renditions",
        "",
        "renditions",
        (
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
    ),
)

KINDS: dict[str, Kind] = {kind.name: kind for kind in _KINDS}
