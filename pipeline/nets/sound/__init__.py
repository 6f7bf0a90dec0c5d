"""Nets on sound: voice activity, speaker segmentation, audio features."""
