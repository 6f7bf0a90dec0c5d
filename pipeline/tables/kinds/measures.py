"""What is measured of clips and persons before the judge looks at them."""

from pipeline.tables.kinds.kind import BOX, CLIP, PERSON, VIDEO, B, F, I, Kind, S, column, frames

POSE_MEASURES = Kind(
    "pose_measures",
    key="person_id",
    parent="persons",
    unit_of="clips",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
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
        column("head_yaw_degrees", F, "deg", "median of |yaw| of the head, a fit of the 68 face points"),
        column("body_yaw_degrees", F, "deg", "median of |yaw| of the shoulders; 90 is a profile"),
        column("head_cut_share", F, "share", "of the head, from crown to chin, that lies outside the picture"),
        column("back_share", F, "share", "frames in which the person is seen from the back"),
        column("wrist_speed_median", F, "shoulder widths/s", "relative to the neck"),
        column("wrist_speed_p95", F, "shoulder widths/s", "relative to the neck"),
        column("arm_range", F, "shoulder widths", "how far the widest-ranging wrist or elbow gets about"),
        column(
            "own_motion",
            F,
            "shoulder widths",
            "mean over arms and hands of how far each gets about in the body's frame",
        ),
        column("picture_motion", F, "grey levels", "of the clip"),
        column("hand_seen_share", F, "share", "frames with at least one hand scored"),
        column("both_hands_share", F, "share", "frames with both hands scored"),
        column("hands_on_one_share", F, "share", "frames in which both hands' points lie on one hand"),
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
        column("crop_black_share", F, "share", "of the crop that lies outside the picture and is black"),
        column(
            "border_share",
            F,
            "share",
            "of the crop beyond the border of the picture within the picture around the person",
        ),
        column(
            "manifest_overlap", F, "share", "of the person's box that lies in the manifest's crop; null without one"
        ),
        column("clips_person", B, "", "the person that the manifest means; null where there is no manifest"),
    ),
)

SOUND_MEASURES = Kind(
    "sound_measures",
    key="clip_id",
    parent="clips",
    unit_of="clips",
    columns=(
        CLIP,
        VIDEO,
        column("has_audio", B, "", ""),
        column("speech_share", F, "share", "of the clip that the voice detector hears as speech"),
        column("longest_pause_seconds", F, "s", "without speech"),
        column("loudness_dbfs", F, "dBFS", "root mean square"),
        column("peak_dbfs", F, "dBFS", ""),
        column("clipped_share", F, "share", "samples at full scale"),
        column("silence_share", F, "share", "20-ms frames under -60 dBFS"),
    ),
)

OVERLAPS = Kind(
    "overlaps",
    key="clip_id",
    parent="clips",
    unit_of="videos",
    columns=(
        CLIP,
        VIDEO,
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
)

SAME_FACES = Kind(
    "same_faces",
    key="person_id",
    parent="persons",
    unit_of="clips",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
        column("face_moments", I, "frames", "at which the face was looked at"),
        column("face_agreement", F, "cosine", "mean likeness of the faces at those moments to their mean"),
        column(
            "face_agreement_margin", F, "cosine", "by which that exceeds what the net gives one person; null: unknown"
        ),
    ),
)

LIP_SYNCS = Kind(
    "lip_syncs",
    key="person_id",
    parent="persons",
    unit_of="clips",
    columns=(
        PERSON,
        CLIP,
        VIDEO,
        column("lip_offset_frames", I, "frames", "at 25 fps; positive: the sound comes before the lips"),
        column("lip_confidence", F, "", "SyncNet's: median minus least distance over the offsets"),
        column("lip_distance", F, "", "SyncNet's least mean distance of lips and sound"),
        column("lip_frames", I, "frames", "pictures with a face that were compared"),
        column("best_lips", B, "", "of the clip's people, the lips that fit the sound best"),
        column("sound_shift_frames", I, "frames", "by which the sound is moved later to mend it; null: left as it is"),
        column("lip_offset_left_frames", F, "frames", "size of the offset that is left, measured again after a shift"),
    ),
)
