"""The test sets of the paper: how large their pictures are, and how many clips they have."""

from pipeline.base.units import CLIP_SIDE_PX

SIDES = {"csg405": CLIP_SIDE_PX, "pats": 256, "ted": 384}  # px, as the paper unifies its pictures
CLIPS = {"csg405": 133, "pats": 474, "ted": 122}  # of the paper
