"""`csg405 import-model`: refusals in a line, and nothing written for them; what it writes is in `tests/stages`."""

import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from pipeline.base import install
from pipeline.cli import import_model
from pipeline.cli.main import main
from pipeline.tables import takedowns
from pipeline.tables.people import mark
from pipeline.tables.takedowns import Model, Takedown


def called(folder: Path, out: str = "model.safetensors", more: Sequence[str] = (), **instead: Path) -> Result:
    paths = {name: folder / name for name in ("checkpoint", "mean", "std")} | instead
    for path in paths.values():
        if path.parent == folder and not path.exists():
            np.save(path.open("wb"), np.ones((1, 124, 2)))
    given = [str(paths["checkpoint"]), "--mean", str(paths["mean"]), "--std", str(paths["std"])]
    return CliRunner().invoke(main, ["import-model", *given, "--out", str(folder / out), *more])


def test_what_is_no_checkpoint_is_refused_in_a_line(tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="needs csg405[train]")
    (tmp_path / "checkpoint").write_bytes(b"PK no more")
    ended = called(tmp_path)
    assert ended.exit_code == 1 and f"{tmp_path / 'checkpoint'} is cut short" in ended.output
    assert "Traceback" not in ended.output and len(ended.output.strip().splitlines()) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "mean", "std"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"out": "model.pth"}, "ends in .safetensors"),
        ({"std": Path("/nowhere/std.npy")}, "'/nowhere/std.npy' does not exist"),
    ],
)
def test_wrong_calls_are_told_before_anything_is_read(given: dict[str, str], said: str, tmp_path: Path) -> None:
    ended = called(tmp_path, **given)  # type: ignore[arg-type]
    assert ended.exit_code == 2 and said in ended.output


def test_what_is_not_installed_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(import_model, "importable", lambda name: name != "torch")
    ended = called(tmp_path)
    assert ended.exit_code == 1 and f"import-model needs torch: {install.with_extra('train')}" in ended.output


@pytest.mark.parametrize("where", ["beside", "named"])
def test_a_checkpoint_that_saw_what_was_taken_down_is_refused(tmp_path: Path, where: str) -> None:
    pytest.importorskip("torch", reason="needs csg405[train]")
    (tmp_path / "checkpoint").write_bytes(b"weights of somebody")
    sha256 = hashlib.sha256(b"weights of somebody").hexdigest()
    other = tmp_path / "elsewhere" / "theirs.jsonl"
    ledger = tmp_path / takedowns.LEDGER if where == "beside" else other
    takedowns.add(ledger, [Takedown(mark("yt:aaaaaaaaaaa"), "2026-11-30", (), (Model("theirs", (sha256,)),))])
    more = ["--takedowns", str(other)] if where == "named" else []
    ended = called(tmp_path, more=more)
    assert ended.exit_code == 1 and "was trained on 1 works that were taken down (2026-11-30" in ended.output
    assert not (tmp_path / "model.safetensors").exists() and "Traceback" not in ended.output
