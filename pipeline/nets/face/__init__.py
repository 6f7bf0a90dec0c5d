"""Faces cut out by keypoints, their attributes and identity."""
