"""What is scored, by which nets, and why a score may be absent."""

IDENTITY, SYNC, FID, FVD = NETS = ("identity", "syncnet", "inception", "i3d")
OF_FACES = ("csim", "sync_c", "sync_d")
OF_SKELETONS = (
    *("keypoint_error_px", "mouth_error_px", "hand_error_px", "jitter_px_s3"),
    *("beat_alignment", "mouth_correlation"),
)
NO_SKELETON = "no skeleton is known that the videos follow"
UNMEASURABLE = "too little is seen or heard to measure it"
NO_SOUND = "the voice's clip has no sound"
NO_FACE = "drawn skeletons have no face: --backend films people"
