"""The worker that a test set needs."""

from pipeline.engine.stage import Context, Work
from stages.evaluate.subjects.of_files import FileAnnotator
from stages.evaluate.subjects.of_shards import ClipReader
from stages.evaluate.subjects.settings import SubjectsSettings


def open_worker(settings: SubjectsSettings, context: Context) -> Work:
    """Open the shards, or the nets that annotate files."""
    return ClipReader(settings) if settings.protocol == "csg405" else FileAnnotator(settings, context)
