"""Features as Hugging Face `datasets` reads them in YAML, and the file by which it loads a folder of shards.

The metadata of a Parquet file cannot say that a column of bytes is sound: `datasets` believes it only where the stored type is that
of its own feature, for sound a struct of bytes and a path. `.huggingface.yaml` beside the files can, and leaves their bytes alone.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa
import yaml

from pipeline.base.units import SAMPLE_RATE
from pipeline.shards.format import SPLITS, shard_schema

HUB = ".huggingface.yaml"  # hidden, so that pandas and pyarrow, given the folder, leave it out
AUDIO = {"dtype": {"audio": {"sampling_rate": SAMPLE_RATE}}}
_NAMES = {"double": "float64", "float": "float32", "halffloat": "float16"}


def features(schema: pa.Schema, special: Mapping[str, Mapping[str, Any]] | None = None) -> list[dict[str, Any]]:
    """The features of a table as the card's `dataset_info` lists them.

    Args:
        schema: the Parquet files' columns.
        special: column -> its feature, where the type does not say it: `AUDIO` for FLAC bytes.
    """
    return [{"name": field.name, **((special or {}).get(field.name) or _feature(field.type))} for field in schema]


def _feature(kind: pa.DataType) -> dict[str, Any]:
    if pa.types.is_fixed_size_list(kind):
        return {"list": _inner(kind.value_type), "length": kind.list_size}
    if pa.types.is_list(kind):
        return {"list": _inner(kind.value_type)}
    return {"dtype": _NAMES.get(str(kind), str(kind))}


def _inner(kind: pa.DataType) -> Any:
    feature = _feature(kind)
    return feature["dtype"] if list(feature) == ["dtype"] else feature


def hub_text(index: Mapping[str, Any]) -> str:
    """`.huggingface.yaml` for the files of an index: splits by name, the columns with their features, sound as Audio.

    Where the index lists other columns than this version's, what they are is left to `datasets`; where it lists no file, there is
    nothing to load and no such file: "".
    """
    there = [split for split in SPLITS if any(entry["split"] == split for entry in index["files"])]
    if not there:
        return ""
    data = [{"split": split, "path": [e["path"] for e in index["files"] if e["split"] == split]} for split in there]
    about: dict[str, Any] = {"configs": [{"config_name": "default", "data_files": data}]}
    if _names(index.get("columns")) == shard_schema().names:
        listed = features(shard_schema(), {"audio": AUDIO})
        about["dataset_info"] = [{"config_name": "default", "features": listed}]
    return str(yaml.safe_dump(about, sort_keys=False, allow_unicode=True, width=1000))


def _names(columns: Any) -> Sequence[Any]:
    return [column.get("name") for column in columns if isinstance(column, dict)] if isinstance(columns, list) else []
