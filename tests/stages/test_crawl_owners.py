"""Notes of who owns a video that are lost or damaged are mended before a crawl claims any: no video is lost, or fetched over."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pipeline.engine.runner import Options, run_stage
from pipeline.registry.models import Registry
from pipeline.sources.web.settings import Web
from pipeline.tables.opt_out import OptOut
from pipeline.tables.store import Store
from stages.crawl import Crawl
from tests.stages.little_films import write_film
from tests.stages.test_crawl import QUICK
from tests.stages.unkind_server import serving


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    film = write_film(tmp_path_factory.mktemp("films") / "film.mp4", [40])
    with serving(film.read_bytes()) as (address, _):
        yield address


def crawl(run: Path, *links: str, out: OptOut | None = None) -> dict[str, tuple[str, str]]:
    """{unit: (status, detail)} after a crawl of a list."""
    run.mkdir(exist_ok=True)
    (run.parent / "links.txt").write_text("\n".join(links))
    stage = Crawl(input=str(run.parent / "links.txt"), allow_loopback=True)
    run_stage(stage, run, Registry(), Options(workers=0, web=Web(**QUICK)), Store(run, out))
    won = Store(run).table("videos").winners(["unit", "status", "detail"]).to_pylist()
    return {row["unit"]: (row["status"], row["detail"]) for row in won}


def owner_in(run: Path) -> Path:
    (path,) = run.glob("raw/*/*.owner")
    return path


DAMAGES: dict[str, Callable[[Path], object]] = {
    "lost": Path.unlink,
    "empty": lambda path: path.write_bytes(b""),
    "cut short": lambda path: path.write_bytes(path.read_bytes()[:9]),
    "zeroed": lambda path: path.write_bytes(bytes(path.stat().st_size)),
    "no text": lambda path: path.write_bytes(b"\xff\xfe\x00"),
    "another's": lambda path: path.write_text("https://example.org/another.mp4"),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_second_link_to_a_video_stays_a_duplicate(
    tmp_path: Path, base: str, damage: Callable[[Path], object], capsys: pytest.CaptureFixture[str]
) -> None:
    first, second = f"{base}/good/b.mp4", f"{base}/good/a.mp4"  # by name the second would count
    run = tmp_path / "run"
    assert crawl(run, first)[first][0] == "ok"
    (film,) = run.glob("raw/*/*.mp4")
    before, written = film.read_bytes(), film.stat().st_mtime_ns
    damage(owner_in(run))
    found = crawl(run, first, second)
    assert found[second] == ("rejected", f"the same video as {first}")
    assert owner_in(run).read_text() == first and (film.read_bytes(), film.stat().st_mtime_ns) == (before, written)
    assert "1 notes of who owns a video were lost or damaged, and are mended" in capsys.readouterr().err
    crawl(run, first, second, f"{base}/missing/c.mp4")
    assert "notes of who owns" not in capsys.readouterr().err


@pytest.mark.parametrize("damage", [d for name, d in DAMAGES.items() if name != "lost"])
def test_a_note_that_names_nobody_keeps_no_video_out(
    tmp_path: Path, base: str, damage: Callable[[Path], object]
) -> None:
    link, run = f"{base}/good/a.mp4", tmp_path / "run"
    crawl(run, link)
    for path in (*run.glob("tables/*/*/*"), *run.glob("tables/*/commits.txt")):  # as if the crawl had been cut short
        path.unlink()
    damage(owner_in(run))
    assert crawl(run, link)[link][0] == "ok" and owner_in(run).read_text() == link


def test_who_opted_out_gets_no_note_again(tmp_path: Path, base: str) -> None:
    link, run = f"{base}/good/a.mp4", tmp_path / "run"
    crawl(run, link)
    (video,) = Store(run).read("videos", ["video_id"])["video_id"].to_pylist()
    owner_in(run).unlink()
    crawl(run, link, f"{base}/missing/c.mp4", out=OptOut(frozenset({video})))
    assert not list(run.glob("raw/*/*.owner"))
