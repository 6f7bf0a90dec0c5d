"""`csg405 report`: where the page lies, and a server that Ctrl-C ends."""

import signal
import subprocess
import sys
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from click.testing import CliRunner

from pipeline.cli.main import main
from pipeline.views.server import serve


@pytest.fixture
def run(tmp_path: Path) -> Path:
    page = tmp_path / "a run/report/index.html"
    page.parent.mkdir(parents=True)
    page.write_text("<p>page")
    (tmp_path / "a run/tables").mkdir()
    return tmp_path / "a run"


def test_it_says_where_the_page_lies(run: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(main, ["report", "--run", str(run)])
    assert (told.exit_code, told.output.strip()) == (0, (run / "report/index.html").as_uri())
    told = CliRunner().invoke(main, ["report", "--run", str(tmp_path / "none")])
    assert told.exit_code == 2 and "is no run" in told.output
    assert not (tmp_path / "none").exists(), "looking makes nothing"
    (run / "report/index.html").unlink()
    told = CliRunner().invoke(main, ["report", "--run", str(run)])
    assert told.exit_code == 1 and "csg405 run report" in told.output


def test_a_port_that_is_taken_is_told(run: Path) -> None:
    server = serve(run, 0)
    port = str(server.server_address[1])
    told = CliRunner().invoke(main, ["report", "--run", str(run), "--serve", "--port", port])
    server.server_close()
    assert told.exit_code == 2
    assert f"port {port}" in told.output and "--port 0" in told.output


def test_it_serves_until_interrupted(run: Path) -> None:
    command = [sys.executable, "-m", "pipeline.cli", "report", "--run", str(run), "--serve", "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        address, tunnel = process.stdout.readline().strip(), process.stdout.readline().strip()
        port = urlsplit(address).port
        assert f"ssh -N -L {port}:127.0.0.1:{port} " in tunnel
        browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor())
        with browser.open(address, timeout=60) as answer:
            assert answer.read() == b"<p>page"
            assert answer.url == f"http://127.0.0.1:{port}/report/index.html", "the key does not stay in the address"
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 0
    finally:
        process.kill()
        process.wait()
        process.stdout.close()
