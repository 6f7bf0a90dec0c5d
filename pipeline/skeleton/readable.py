"""Of which faces the lips can be read, unless a stage is told otherwise. Light, so that declarations of stages may use it."""

MIN_SCORE = 0.3  # mean of the face's keypoints in a frame that counts
MIN_SHARE = 0.5  # of frames with a face
MIN_PX = 24.0  # median side of the face
