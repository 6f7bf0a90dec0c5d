"""The command on a run of toy stages, in the test's own process."""

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from pipeline.cli import main as cli
from tests.pipeline.engine import toy_cli


class ToyRun:
    """`csg405` with `--profile FILE --run FOLDER`, or with one of them alone."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, units: str = '["a", "b"]') -> None:
        toy_cli.register(monkeypatch.setitem)
        monkeypatch.chdir(folder)
        monkeypatch.setenv("CSG405_CACHE", str(folder / "cache"))
        monkeypatch.setenv("COLUMNS", "200")
        for name in ("CSG405_PROFILE", "CSG405_MODELS"):
            monkeypatch.delenv(name, raising=False)
        self.folder, self.run, self.profile = folder, folder / "runs" / "toys", folder / "toys.toml"
        self.profile.write_text(f"{toy_cli.PROFILE}[stages.toy_crawl]\nunits = {units}\n")

    def __call__(self, *arguments: str, by: str = "both", code: int = 0) -> str:
        about = {"run": ["--run", str(self.run)], "profile": ["--profile", str(self.profile)]}
        named = about["run"] + about["profile"] if by == "both" else about.get(by, [])
        found = CliRunner().invoke(cli.main, [*arguments, *named], catch_exceptions=True)
        assert found.exit_code == code, found.output + repr(found.exception)
        return found.output

    def all(self, *more: str, **how: Any) -> str:
        """Run everything."""
        return self("run", "crawl", "annotate", "filter", "--workers", "0", *more, **how)

    def funnel(self, by: str) -> list[dict[str, Any]]:
        """The stages of `status --json`."""
        stages: list[dict[str, Any]] = json.loads(self("status", "--json", by=by))["stages"]
        return stages
