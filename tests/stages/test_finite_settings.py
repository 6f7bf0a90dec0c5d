"""No number of any stage, program or section of a profile may be NaN or infinite: either would switch a check off in silence."""

import pkgutil
from collections.abc import Iterator
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, get_args, get_origin

import pytest
from pydantic import BaseModel

import stages
from pipeline.engine.lookup import settings_class
from pipeline.engine.profile import SECTIONS, Profile, ProfileError, load
from pipeline.engine.settings import Settings
from pipeline.model.dit import NetSettings
from pipeline.registry.models import Entry

BAD = ("nan", "inf", "-inf")


def numbers(annotation: Any) -> Iterator[str]:
    """TOML values with `{}` where a type takes a number, one for each place."""
    origin, args = get_origin(annotation), get_args(annotation)
    if annotation in (float, int):
        yield "{}"
    elif origin is Annotated:
        yield from numbers(args[0])
    elif origin is tuple and args[-1:] != (...,):
        for at, arg in enumerate(args):
            for text in numbers(arg):
                yield "[" + ", ".join(text if n == at else "1" for n in range(len(args))) + "]"
    elif origin in (tuple, list):
        yield from (f"[{text}]" for text in numbers(args[0]))
    elif origin is dict:
        yield from (f"{{{{ a = {text} }}}}" for text in numbers(args[1]))
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        for name, field in annotation.model_fields.items():
            yield from (f"{{{{ {name} = {text} }}}}" for text in numbers(field.annotation))
    else:  # unions, and what holds no number
        for arg in args:
            if arg is not NoneType:
                yield from numbers(arg)


def classes() -> dict[str, type[BaseModel]]:
    found: dict[str, type[BaseModel]] = dict(SECTIONS)
    for module in pkgutil.iter_modules(stages.__path__):
        found[module.name] = settings_class(module.name)
    return found


ALL = {
    f"{section}.{name}": text
    for section, cls in classes().items()
    for name, field in cls.model_fields.items()
    for text in numbers(field.annotation)
}


def test_the_walk_finds_them() -> None:
    assert len(ALL) > 200
    assert sum(key.startswith("judge.") for key in ALL) > 15
    assert list(numbers(dict[str, tuple[float, str]] | None)) == ["{{ a = [{}, 1] }}"]
    assert list(numbers(Annotated[float | None, "x"])) == ["{}"]


@pytest.mark.parametrize("section", sorted(classes()))
def test_none_is_taken(section: str, tmp_path: Path) -> None:
    header = section if section in SECTIONS else f"stages.{section}"
    for key, value in ALL.items():
        if key.partition(".")[0] != section:
            continue
        for bad in BAD:
            text = value.format(bad)
            with pytest.raises(ProfileError, match=r"(finite|greater|less|integer)"):
                load("folder", [f"{key}={text}"])
            path = tmp_path / "mine.toml"
            path.write_text(f'extends = "folder"\n[{header}]\n{key.partition(".")[2]} = {text}\n')
            with pytest.raises(ProfileError, match=r"mine.toml:3: .*(finite|greater|less|integer)") as refused:
                load(str(path))
            assert "\n" not in str(refused.value)


def test_no_default_is_one() -> None:
    """Defaults are not validated."""
    for section, cls in classes().items():
        for name, field in cls.model_fields.items():
            assert field.default not in (float("inf"), -float("inf")) and field.default == field.default, (
                section,
                name,
            )


@pytest.mark.parametrize("cls", [Settings, Profile, NetSettings, Entry, *SECTIONS.values()])
def test_each_base_refuses_them(cls: type[BaseModel]) -> None:
    assert cls.model_config["allow_inf_nan"] is False
