"""Video in and out: probe a file, read it on the 25-fps grid, write a clip."""

from pipeline.media.grid import GridFrame, GridReader
from pipeline.media.probe import Probe, probe
from pipeline.media.writer import ffmpeg_exe, write_clip, write_video

__all__ = ["GridFrame", "GridReader", "Probe", "ffmpeg_exe", "probe", "write_clip", "write_video"]
