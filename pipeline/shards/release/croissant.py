"""The Croissant description of a release (https://docs.mlcommons.org/croissant/docs/croissant-spec-1.1.html), as JSON-LD."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow as pa

from pipeline.base.text import printable

_PARQUET = "application/x-parquet"
_TERMS = (
    *(
        "arrayShape",
        "citeAs",
        "column",
        "containedIn",
        "equivalentProperty",
        "extract",
        "field",
        "fileProperty",
        "fileObject",
    ),
    *(
        "fileSet",
        "format",
        "includes",
        "isArray",
        "isLiveDataset",
        "jsonPath",
        "key",
        "md5",
        "parentField",
        "path",
        "recordSet",
    ),
    *("references", "regex", "repeated", "replace", "samplingRate", "separator", "source", "subField", "transform"),
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "dct": "http://purl.org/dc/terms/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{term: f"cr:{term}" for term in _TERMS},
}
_TYPES = {"string": "sc:Text", "bool": "sc:Boolean", "int32": "cr:Int32", "float": "cr:Float32", "double": "cr:Float64"}


def described(
    about: Mapping[str, str],
    listed: Sequence[Mapping[str, Any]],
    schemas: Mapping[str, pa.Schema],
    keywords: Sequence[str],
    use: str,
) -> dict[str, Any]:
    """The description.

    Args:
        about: name, description, url, license, version, datePublished, citeAs; empty ones are left out.
        listed: `path`, `bytes` and `sha256` of every file but this one; Parquet files lie in the folder of their table.
        schemas: table -> columns.
        keywords: what it is about.
        use: what the data may be used for, and what not.
    """
    known = {key: value for key, value in about.items() if value}
    return {
        "@context": _CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": "http://mlcommons.org/croissant/1.1",
        **known,
        "name": re.sub(r"[^A-Za-z0-9_-]+", "-", printable(about["name"])).strip("-") or "release",
        "creator": {"@type": "sc:Organization", "name": "whoever published this release"},
        "keywords": list(keywords),
        "rai:dataUseCases": use,
        "rai:personalSensitiveInformation": "Skeletons and points of the face of people who can be found by the links.",
        "distribution": [*map(_file, listed), *(_set(table) for table in schemas)],
        "recordSet": [_records(table, schema) for table, schema in schemas.items()],
    }


def _file(entry: Mapping[str, Any]) -> dict[str, Any]:
    kinds = {"parquet": _PARQUET, "jsonl": "application/jsonlines", "json": "application/json", "md": "text/markdown"}
    return {
        "@type": "cr:FileObject",
        "@id": entry["path"],
        "name": entry["path"],
        "contentUrl": entry["path"],
        "contentSize": f"{entry['bytes']} B",
        "encodingFormat": kinds.get(entry["path"].rpartition(".")[2], "text/plain"),
        "sha256": entry["sha256"],
    }


def _set(table: str) -> dict[str, Any]:
    name = f"{table}-files"
    return {
        "@type": "cr:FileSet",
        "@id": name,
        "name": name,
        "encodingFormat": _PARQUET,
        "includes": f"{table}/*.parquet",
    }


def _records(table: str, schema: pa.Schema) -> dict[str, Any]:
    fields = [_field(table, field) for field in schema]
    return {"@type": "cr:RecordSet", "@id": table, "name": table, "field": fields}


def _field(table: str, field: pa.Field) -> dict[str, Any]:
    unit, text = (field.metadata[key].decode() for key in (b"unit", b"text"))
    sides, kind = [], field.type
    while pa.types.is_nested(kind):
        sides.append(str(kind.list_size) if pa.types.is_fixed_size_list(kind) else "-1")
        kind = kind.value_type
    array = {"isArray": True, "arrayShape": ",".join(sides)} if sides else {}
    return {
        "@type": "cr:Field",
        "@id": f"{table}/{field.name}",
        "name": field.name,
        "description": f"{text} ({unit})" if unit else text,
        "dataType": _TYPES[str(kind)],
        **array,
        "source": {"fileSet": {"@id": f"{table}-files"}, "extract": {"column": field.name}},
    }
