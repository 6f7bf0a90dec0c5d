"""Link manifests: lists of released clips, read row by row, mapped onto fetched videos, and accounted for."""

from pipeline.sources.manifest.forms import read_manifest
from pipeline.sources.manifest.ledger import RowState, ledger
from pipeline.sources.manifest.listed import Manifest
from pipeline.sources.manifest.rows import ManifestError, ManifestRow, Problem, place
from pipeline.sources.manifest.sniff import form_of

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
