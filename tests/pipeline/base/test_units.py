"""The shared constants: their values, and that nobody writes them down again."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.base import units

ROOT = Path(__file__).parents[3]
NAMES = {  # of a constant in another module -> the values that base/units holds under such a name
    r"(?i)FPS": {units.FPS},
    r"(?i)RATE|HZ": {units.FPS, units.SAMPLE_RATE},
    r"(?i)SAMPLES": {units.SAMPLES_PER_FRAME},
    r"(?i)SIDE": {units.CLIP_SIDE_PX},
    r"KEYPOINTS|POINTS|^_?K$": {units.KEYPOINTS},
}
ALIASES = re.compile(r"^(Floats\d*|Ints|Picture|Points|Box|FloatBox|Colou?r)$")


def assigned(tree: ast.Module) -> Iterator[tuple[str, ast.expr]]:
    """Names and values of assignments at the top of a module or class, tuples taken apart."""
    bodies = [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    for node in (node for body in bodies for node in body):
        targets = (
            node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
        )
        for target in targets:
            pairs = [(target, node.value)]  # type: ignore[union-attr]
            if isinstance(target, ast.Tuple) and isinstance(node.value, ast.Tuple):  # type: ignore[union-attr]
                pairs = list(zip(target.elts, node.value.elts, strict=True))  # type: ignore[union-attr]
            yield from ((name.id, value) for name, value in pairs if isinstance(name, ast.Name) and value is not None)


def again(text: str) -> list[str]:
    """The constants and types that a module defines although base has them."""
    found = []
    for name, value in assigned(ast.parse(text)):
        known = {v for pattern, values in NAMES.items() if re.search(pattern, name) for v in values}
        constant = isinstance(value, ast.Constant) and isinstance(value.value, int | float) and value.value in known
        if constant or (ALIASES.match(name) and isinstance(value, ast.Subscript)):
            found.append(name)
    return found


def test_no_module_defines_a_shared_constant_or_type_again() -> None:
    paths = sorted(p for room in ("pipeline", "stages") for p in (ROOT / room).rglob("*.py"))
    files = {str(p.relative_to(ROOT)): p for p in paths if p.parent != ROOT / "pipeline" / "base"}
    assert len(files) > 200
    found = {(name, what) for name, path in files.items() for what in again(path.read_text(encoding="utf-8"))}
    assert found == set()


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ("FPS = 25", ["FPS"]),
        ("_FPS: float = 25.0", ["_FPS"]),
        ("_RATE, _STEP = 16_000, 160", ["_RATE"]),
        ("class A:\n    SAMPLES_A_FRAME = 640", ["SAMPLES_A_FRAME"]),
        ("Floats = NDArray[np.float32]\nBox = tuple[int, int, int, int]", ["Floats", "Box"]),
        ("FPS = 24\nRATE = 48_000\nSTRIDE = 25\nSIDE = 224\nfps: float", []),
    ],
)
def test_a_second_definition_is_seen(text: str, names: list[str]) -> None:
    assert again(text) == names


def test_the_grid_the_voice_and_the_crop_are_those_of_the_paper() -> None:
    assert (units.FPS, units.SAMPLE_RATE, units.SAMPLES_PER_FRAME) == (25, 16_000, 640)
    assert (units.CLIP_SIDE_PX, units.KEYPOINTS) == (512, 133)
    constants = {name: value for name, value in vars(units).items() if name.isupper()}
    assert {type(value) for value in constants.values()} == {int}  # a float would show in JSON, in hashes and in tables
