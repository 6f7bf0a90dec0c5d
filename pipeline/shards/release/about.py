"""What a release says of itself that its tables do not, as its index keeps it."""

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from pipeline.shards.format import ShardError
from pipeline.shards.release import FIRST

_VERSION = re.compile(r"(\d{1,6})\.(\d{1,6})\.(\d{1,6})", re.ASCII)
_MOST_TEXT = 2000
_VERDICTS = ("drop", "keep")


@dataclass(frozen=True)
class About:
    """What the card says that the tables do not know.

    Attributes:
        title, licence, contact: "" where none was set, but for the title.
        version: of the data, major.minor.patch.
        published: YYYY-MM-DD.
        csg405: version of the program that made it.
        settings: stage -> settings that change results.
        nets: stage -> which nets made its rows, as `pipeline.views.nets.as_json` lists them.
        changes: a line each, oldest first, without anybody's id.
    """

    title: str
    version: str = FIRST
    licence: str = ""
    contact: str = ""
    published: str = ""
    csg405: str = ""
    settings: Mapping[str, Any] = field(default_factory=dict)
    nets: Mapping[str, Any] = field(default_factory=dict)
    changes: tuple[str, ...] = ()

    def as_json(self) -> dict[str, Any]:
        """For the index."""
        return {**asdict(self), "changes": list(self.changes)}

    @property
    def next_version(self) -> str:
        """With the last number one higher."""
        major, minor, patch = map(int, self.version.split("."))
        return f"{major}.{minor}.{patch + 1}"


def about_of(index: Mapping[str, Any], where: object) -> About:
    """What an index says, which may come from others. Raises ShardError where it is not what an index says."""
    said = index.get("about")
    if not isinstance(said, dict) or not isinstance(said.get("title"), str):
        raise ShardError(f"{where} says nothing about a release")
    known = {one.name: said[one.name] for one in fields(About) if one.name in said}
    changes = known.pop("changes", [])
    texts = [known.get(name, "") for name in ("title", "version", "licence", "contact", "published", "csg405")]
    texts += changes if isinstance(changes, list) else [None]
    whole = (
        all(isinstance(text, str) and len(text) <= _MOST_TEXT for text in texts)
        and isinstance(known.get("settings", {}), dict)
        and _are_nets(known.get("nets", {}))
        and re.fullmatch(r"(\d{4}-\d\d-\d\d)?", known.get("published", ""), re.ASCII)
    )
    if not whole or not _VERSION.fullmatch(known.get("version", FIRST)):
        raise ShardError(f"{where} does not say of its release what an index says")
    return About(**known, changes=tuple(changes))


def public(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Settings as they may be published: of people's own decisions only how many there are of each verdict.

    The decisions themselves hold ids of people who were dropped, and names and words of those who decided.
    """
    return {
        stage: {name: _counted(value) for name, value in values.items()} if isinstance(values, Mapping) else values
        for stage, values in settings.items()
    }


def _counted(value: Any) -> Any:
    if not isinstance(value, list) or not any(isinstance(one, Mapping) for one in value):
        return value
    verdicts = Counter(one.get("verdict") for one in value if isinstance(one, Mapping) and _is_decided(one))
    return {verdict: verdicts[verdict] for verdict in _VERDICTS}


def _is_decided(decision: Mapping[str, Any]) -> bool:
    return isinstance(decision.get("verdict"), str)


def _are_nets(nets: Any) -> bool:
    return isinstance(nets, dict) and all(
        isinstance(made, list)
        and all(
            isinstance(one, dict)
            and isinstance(one.get("version"), str)
            and type(one.get("units")) is int
            and isinstance(one.get("nets"), dict)
            and all(isinstance(sha256, str) for sha256 in one["nets"].values())
            for one in made
        )
        for made in nets.values()
    )
