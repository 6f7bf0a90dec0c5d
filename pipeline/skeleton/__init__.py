"""133 keypoints as geometry: layout, crop, local coordinates, smoothing, measures, drawing, the released form; no nets."""
