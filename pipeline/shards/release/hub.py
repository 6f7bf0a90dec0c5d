"""The head of a data set card as the Hugging Face Hub reads it: licence, size, tags, configurations, features."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from pipeline.base.text import printable
from pipeline.shards.features import features

_SIZES = (
    (1_000, "n<1K"),
    (10_000, "1K<n<10K"),
    (100_000, "10K<n<100K"),
    (1_000_000, "100K<n<1M"),
    (10_000_000, "1M<n<10M"),
)
# The Hub's names of licences that data sets are published under; any other has to be called `other`.
_LICENCES = frozenset(
    (
        *(
            "apache-2.0",
            "mit",
            "cc0-1.0",
            "cc-by-4.0",
            "cc-by-sa-4.0",
            "cc-by-nc-4.0",
            "cc-by-nd-4.0",
            "cc-by-nc-sa-4.0",
        ),
        *("cc-by-nc-nd-4.0", "odc-by", "odbl", "cdla-permissive-2.0", "cdla-sharing-1.0", "pddl"),
    )
)
_LANGUAGE = re.compile(r"[a-z]{2,3}", re.ASCII)


def head(
    title: str,
    licence: str,
    speakers: int,
    languages: Sequence[str],
    files: Mapping[str, Mapping[str, Sequence[str]]],
    rows: Mapping[str, Mapping[str, int]],
    schemas: Mapping[str, pa.Schema],
) -> str:
    """The YAML between the lines `---` of a card.

    Args:
        title: of the data set.
        licence: of these files, in anybody's words; "" when none was chosen.
        speakers: rows of the first table.
        languages: of the videos.
        files: table -> split -> paths relative to the card; the first table is what is loaded when none is named.
        rows: table -> split -> rows.
        schemas: table -> columns.
    """
    about: dict[str, Any] = {"pretty_name": printable(title)[:200], **_licence(licence)}
    if known := sorted({language for language in languages if _LANGUAGE.fullmatch(language)}):
        about["language"] = known
    about["size_categories"] = [next((name for most, name in _SIZES if speakers < most), "10M<n<100M")]
    about["task_categories"] = ["keypoint-detection", "other"]
    about["tags"] = [
        "co-speech-gesture",
        "gesture-generation",
        "human-pose",
        "skeleton",
        "whole-body",
        "talking",
        "csg-405",
    ]
    about["configs"] = [
        {
            "config_name": table,
            **({"default": True} if number == 0 else {}),
            "data_files": [{"split": split, "path": list(paths)} for split, paths in of_splits.items()],
        }
        for number, (table, of_splits) in enumerate(files.items())
    ]
    about["dataset_info"] = [
        {
            "config_name": table,
            "features": features(schemas[table]),
            "splits": [{"name": split, "num_examples": count} for split, count in rows[table].items()],
        }
        for table in files
    ]
    return str(yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=1000))


def _licence(words: str) -> dict[str, str]:
    if not words:
        return {"license": "unknown"}
    slug = re.sub(r"[^a-z0-9.]+", "-", words.lower()).strip("-")[:60]
    return {"license": slug} if slug in _LICENCES else {"license": "other", "license_name": slug or "other"}
