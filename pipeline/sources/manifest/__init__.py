"""Link manifests: lists of released clips, read row by row, mapped onto fetched videos, and accounted for."""

from pipeline.sources.manifest.forms import form_of, read_manifest
from pipeline.sources.manifest.ledger import RowState, ledger
from pipeline.sources.manifest.rows import Manifest, ManifestError, ManifestRow, Problem, place

__all__ = [
    "Manifest",
    "ManifestError",
    "ManifestRow",
    "Problem",
    "RowState",
    "form_of",
    "ledger",
    "place",
    "read_manifest",
]
