"""Shots: where a film is cut, how the camera moves, and which windows become clips."""
