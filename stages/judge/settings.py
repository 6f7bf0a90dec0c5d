"""What `judge` can be told: its thresholds, and the measures that they look at."""

from pathlib import Path
from typing import Annotated

from pydantic import Field

from pipeline.base.reasons import Reason
from pipeline.engine.settings import SWITCHABLE, Settings, runtime
from pipeline.engine.stage import Reads
from pipeline.engine.thresholds import at_least, at_most, thresholds
from pipeline.tables.kinds import KINDS

Share = Annotated[float | None, Field(ge=0, le=1), SWITCHABLE]
Limit = Annotated[float | None, SWITCHABLE]


class Thresholds(Settings):
    """Every threshold of `judge` with its default; "off" switches one off.

    A new one is a field here, over a column of a kind that judge reads. A profile that must not drop anyone by it, such as
    `rebuild`, has to switch it off if it is on by default.
    """

    # the skeleton
    min_seen_share: Share = at_least(
        "seen_share", 0.9, Reason.TRACK_TOO_SHORT, "share of the clip's frames in which the person is seen"
    )
    min_upper_body_share: Share = at_least(
        "upper_body_share",
        0.8,
        Reason.UPPER_BODY_INCOMPLETE,
        "share of frames with nose, shoulders and elbows all scored",
    )
    min_wrists_share: Share = at_least(
        "wrists_share", None, Reason.UPPER_BODY_INCOMPLETE, "share of frames with both wrists scored"
    )
    min_hand_seen_share: Share = at_least(
        "hand_seen_share", 0.5, Reason.HANDS_NOT_SEEN, "share of frames with at least one hand scored"
    )
    min_both_hands_share: Share = at_least(
        "both_hands_share", None, Reason.HANDS_NOT_SEEN, "share of frames with both hands scored"
    )
    max_hands_on_one_share: Share = at_most(
        "hands_on_one_share", 0.3, Reason.HANDS_NOT_SEEN, "share of frames in which both hands' points lie on one hand"
    )
    min_face_seen_share: Share = at_least(
        "face_seen_share", 0.8, Reason.FACE_NOT_SEEN, "share of frames with the face scored"
    )
    max_yaw_degrees: Limit = at_most(
        "yaw_degrees", 50.0, Reason.SIDE_VIEW, "median turn from the camera, degrees; 90 is a profile"
    )
    max_head_yaw_degrees: Limit = at_most(
        "head_yaw_degrees", 40.0, Reason.SIDE_VIEW, "median turn of the head from the camera, degrees"
    )
    max_body_yaw_degrees: Limit = at_most(
        "body_yaw_degrees", 50.0, Reason.SIDE_VIEW, "median turn of the shoulders from the camera, degrees"
    )
    max_back_share: Share = at_most(
        "back_share", 0.3, Reason.BACK_VIEW, "share of frames in which the person is seen from the back"
    )
    # the figure
    min_shoulder_width_px: Limit = at_least(
        "shoulder_width_px", 60.0, Reason.FIGURE_TOO_SMALL, "median shoulder width, source pixels"
    )
    min_shoulder_width_share: Share = at_least(
        "shoulder_width_share", None, Reason.FIGURE_TOO_SMALL, "median shoulder width, share of the picture's width"
    )
    min_box_height_px: Limit = at_least(
        "box_height_px", 220.0, Reason.FIGURE_TOO_SMALL, "median height of the person's box, source pixels"
    )
    min_box_height_share: Share = at_least(
        "box_height_share", None, Reason.FIGURE_TOO_SMALL, "median height of the person's box, share of the picture's"
    )
    min_crop_side_px: Annotated[int | None, SWITCHABLE] = at_least(
        "crop_side_px", 200, Reason.CROP_TOO_SMALL, "side of the crop, source pixels; it is enlarged to 512"
    )
    max_head_cut_share: Share = at_most(
        "head_cut_share", 0.1, Reason.UPPER_BODY_INCOMPLETE, "share of the head that the picture's edge cuts off"
    )
    max_crop_black_share: Share = at_most(
        "crop_black_share", None, Reason.CROP_TOO_SMALL, "share of the crop that lies outside the picture"
    )
    # A border is found to a pixel of 256, up to a fiftieth of a crop; where it is crossed at all, it is by a tenth and more.
    max_border_share: Share = at_most(
        "border_share", 0.02, Reason.BORDER_IN_CROP, "share of the crop beyond the border of a picture in the picture"
    )
    # motion
    min_wrist_speed_median: Limit = at_least(
        "wrist_speed_median", None, Reason.STATIC_POSE, "median wrist speed, shoulder widths a second"
    )
    min_wrist_speed_p95: Limit = at_least(
        "wrist_speed_p95", 0.4, Reason.STATIC_POSE, "95th percentile of wrist speed, shoulder widths a second"
    )
    min_arm_range: Limit = at_least(
        "arm_range", 0.15, Reason.STATIC_POSE, "how far wrists or elbows get about, shoulder widths"
    )
    # Stills, 17, also zoomed, panned and with grain, come to .084 and 5 levels at most, kept clips to .238 and 80 at least.
    min_own_motion: Limit = at_least(
        "own_motion", 0.12, Reason.STILL, "motion of the arms relative to all of the body, shoulder widths"
    )
    min_picture_motion: Limit = at_least(
        "picture_motion", 15.0, Reason.STILL, "change beyond a shift, zoom or roll of the whole picture, grey levels"
    )
    max_jitter: Limit = at_most("jitter", 0.03, Reason.JITTERY, "high-frequency residual of the body, shoulder widths")
    max_camera_motion: Limit = at_most(
        "camera_motion", 0.25, Reason.CAMERA_MOVES, "95th percentile, picture widths a second"
    )
    max_repeated_frames: Share = at_most(
        "repeated_frames", 0.2, Reason.REPEATED_FRAMES, "share of pictures that repeat the one before"
    )
    # the picture
    max_another_person_share: Share = at_most(
        "another_person_share", 0.1, Reason.ANOTHER_PERSON, "share of frames with someone else's head in the crop"
    )
    min_face_sharpness: Limit = at_least(
        "face_sharpness", 15.0, Reason.BLURRED_FACE, "variance of the face's Laplacian, grey levels^2"
    )
    min_face_agreement_margin: Limit = at_least(
        "face_agreement_margin",
        0.0,
        Reason.NOT_ONE_FACE,
        "likeness of a person's faces over the clip, beyond what the face net gives one person, cosine",
        "same_faces",
    )
    # the sound
    require_audio: bool = Field(True, description="drop clips without a sound track")
    max_silence_share: Share = at_most(
        "silence_share", 0.8, Reason.SILENT, "share of 20-ms frames under -60 dBFS", "sound_measures"
    )
    min_loudness_dbfs: Limit = at_least(
        "loudness_dbfs", -55.0, Reason.SILENT, "root mean square of the clip, dBFS", "sound_measures"
    )
    min_speech_share: Share = at_least(
        "speech_share", 0.4, Reason.NO_SPEECH, "share of the clip that is heard as speech", "sound_measures"
    )
    max_longest_pause_seconds: Limit = at_most(
        "longest_pause_seconds", None, Reason.NO_SPEECH, "longest span without speech, seconds", "sound_measures"
    )
    max_clipped_share: Share = at_most(
        "clipped_share", 0.01, Reason.CLIPPED_SOUND, "share of samples at full scale", "sound_measures"
    )
    max_overlap_share: Share = at_most(
        "overlap_share",
        0.02,
        Reason.OVERLAPPED_SPEECH,
        "share of the clip in which several people speak at once",
        "overlaps",
    )
    max_longest_overlap_seconds: Limit = at_most(
        "longest_overlap_seconds",
        None,
        Reason.OVERLAPPED_SPEECH,
        "longest span in which several people speak, seconds",
        "overlaps",
    )
    max_voices: Annotated[int | None, SWITCHABLE] = at_most(
        "voices", None, Reason.OVERLAPPED_SPEECH, "different voices within ten seconds", "overlaps"
    )
    # lips and sound
    min_lip_confidence: Limit = at_least(
        "lip_confidence",
        3.0,
        Reason.LIPS_DO_NOT_MATCH,
        "SyncNet's confidence that lips and sound belong together",
        "lip_syncs",
    )
    max_lip_distance: Limit = at_most(
        "lip_distance", None, Reason.LIPS_DO_NOT_MATCH, "SyncNet's distance of lips and sound", "lip_syncs"
    )
    max_lip_offset_left_frames: Limit = at_most(
        "lip_offset_left_frames",
        3.0,
        Reason.LATE_SOUND,
        "offset of sound and lips, after a repair if there was one, frames of 40 ms",
        "lip_syncs",
    )


class JudgeSettings(Thresholds):
    """The thresholds, what has to be known of a person, and people's own decisions."""

    require_measured: tuple[str, ...] = Field(
        ("upper_body_share",), description="measures without which a person is dropped; others may be missing"
    )
    drop_twins: bool = Field(
        False, description="drop a clip of which another video of the run holds a better copy (see `twins`)"
    )
    overrides: Path | None = Field(
        None,
        description="CSV of people's decisions: id (person, clip or video), verdict (keep, drop; unsure decides nothing), who, why",
        json_schema_extra=runtime(),  # where the file lies changes nothing; its content is in `result_settings`
    )


CHECKS = thresholds(Thresholds)
# Columns read beside the measures that have a threshold.
_MORE = {
    "pose_measures": ("worst_joint", "worst_joint_share", "clips_person", "manifest_overlap"),
    "sound_measures": ("has_audio",),
    "overlaps": (),
    "same_faces": (),
    "lip_syncs": (),
}


def _reads(kind: str) -> Reads:
    measures = (check.measure for check in CHECKS if check.kind == kind)
    return Reads(kind, (KINDS[kind].key, *_MORE[kind], *measures))


MEASURES: tuple[Reads, ...] = tuple(map(_reads, _MORE))
