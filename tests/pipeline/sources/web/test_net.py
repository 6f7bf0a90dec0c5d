"""The fenced downloader's settings: what yt-dlp needs beside itself, and what it is told of the `[web]` section."""

import importlib.util
import tomllib
from pathlib import Path
from types import SimpleNamespace

import pytest

from pipeline.sources.web import net
from pipeline.sources.web.net import FencedDownloader, without_scripts
from pipeline.sources.web.settings import Web

ROOT = Path(__file__).parents[4]


def test_a_set_up_brings_what_runs_the_scripts_of_players() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert [d for d in extras["web"] if d.startswith("yt-dlp[default,deno]")]


@pytest.mark.skipif(importlib.util.find_spec("yt_dlp_ejs") is None, reason="yt-dlp's extra `default` is not installed")
def test_it_finds_them() -> None:
    assert without_scripts() == ""
    with FencedDownloader({"quiet": True}, Web()) as downloader:
        assert downloader._js_runtimes["deno"].info.supported


@pytest.mark.parametrize(
    ("runtime", "solver", "said"),
    [
        (None, True, "finds no deno"),
        (SimpleNamespace(supported=False, version="1.46.3"), True, "too old (1.46.3)"),
        (SimpleNamespace(supported=True), None, "no challenge solver"),
    ],
)
def test_what_is_missing_is_said_with_what_to_do(
    runtime: SimpleNamespace | None, solver: bool | None, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(net, "DenoJsRuntime", lambda: SimpleNamespace(info=runtime))
    monkeypatch.setattr(net, "yt_dlp_ejs", solver)
    assert said in without_scripts() and 'pip install -U "yt-dlp[default,deno]"' in without_scripts()


def test_cookies_are_a_copy(tmp_path: Path) -> None:
    file = tmp_path / "cookies.txt"
    file.write_text("# Netscape HTTP Cookie File\n.youtube.com\tTRUE\t/\tTRUE\t0\tSID\tsecret\n")
    with FencedDownloader({"quiet": True}, Web(cookies=str(file))) as downloader:
        assert [cookie.value for cookie in downloader.cookiejar] == ["secret"]
        file.write_text("")  # as another downloader left it that was writing its own back
    assert file.read_text() == ""
