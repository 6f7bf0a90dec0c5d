"""Crawl: folders, lists and an unkind web server on this machine."""

import errno
import hashlib
import os
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from pipeline.base import links
from pipeline.base.errors import BadUse
from pipeline.base.reasons import Failure, Reason, Reject
from pipeline.base.units import Row
from pipeline.engine.runner import run_stage
from pipeline.engine.stage import Context, Work
from pipeline.engine.unit import Unit
from pipeline.registry.models import Registry
from pipeline.sources.web.lists import InputError, read_list
from pipeline.sources.web.settings import Web
from pipeline.tables import opt_out
from pipeline.tables.arrow import pack_rows
from pipeline.tables.kinds import KINDS
from pipeline.tables.store import Store
from stages.crawl import Crawl
from stages.crawl.inputs.folder import folder_units, local_path
from stages.crawl.record import clean, metadata
from tests.stages.little_films import write_film
from tests.stages.unkind_server import serving

Server = tuple[str, "Counter[str]"]
QUICK = {
    "requests_per_hour": 1e7,
    "retries": 1,
    "retry_wait_seconds": 0.0,
    "timeout_seconds": 5.0,
    "min_free_gigabytes": 0.0,
    "throttle_wait_seconds": 0.0,
    "throttle_retries": 1,
}


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_film(tmp_path_factory.mktemp("films") / "film.mp4", [40])


@pytest.fixture(scope="module")
def web(film: Path) -> Iterator[Server]:
    with serving(film.read_bytes()) as server:
        yield server


def crawl(run: Path, **settings: Any) -> dict[str, Row | Reject | Failure]:
    """Everything that a crawl makes of its input: a row or an outcome a unit."""
    web = settings.pop("web", {})
    quick = Web(**{**QUICK, **{name: settings.pop(name) for name in set(settings) & set(Web.model_fields)}, **web})
    stage = Crawl(**settings)
    context = Context(run, web=quick, opt_out=opt_out.read([run / "opt_out.txt"]))
    results: dict[str, Row | Reject | Failure] = {}
    stage.look(Store(run))
    with stage.driver(context) as given:
        worker = stage.worker(replace(context, given=given))
        for unit in stage.sources(Store(run)) or []:
            try:
                (results[unit],) = worker.process(Unit(unit, {}))
            except (Reject, Failure) as outcome:
                results[unit] = outcome
    return results


def crawl_links(run: Path, *lines: str, **settings: Any) -> list[Row | Reject | Failure]:
    (run / "links.txt").write_text("\n".join(lines), encoding="utf-8")
    return list(crawl(run, **{"input": str(run / "links.txt"), "allow_loopback": True, **settings}).values())


def left_over(run: Path) -> list[str]:
    return sorted(p.name for p in (run / "raw").glob("tmp-*"))


# Folders


def test_a_folder_is_found_as_it_lies(tmp_path: Path, film: Path) -> None:
    source = tmp_path / "videos"
    (source / "deep" / ".hidden").mkdir(parents=True)
    (source / "deep" / "film one.MP4").write_bytes(film.read_bytes())
    write_film(source / "b.mp4", [30], seed=1)
    for name in ("notes.txt", ".secret.mp4", "deep/.hidden/c.mp4"):
        (source / name).write_bytes(b"no")
    run = tmp_path / "run"
    results = crawl(run, input=str(source))
    assert list(results) == ["b.mp4", "deep/film one.MP4"]
    row = results["deep/film one.MP4"]
    assert isinstance(row, dict)
    sha256 = hashlib.sha256(film.read_bytes()).hexdigest()
    assert (row["video_id"], row["sha256"]) == (f"file:{sha256[:16]}", sha256)
    assert row["path"] == str(source / "deep" / "film one.MP4") and row["source"] == "deep/film one.MP4"
    assert (row["width"], row["height"], row["grid_frames"], row["title"]) == (160, 96, 40, "film one")
    assert set(row) <= set(KINDS["videos"].schema.names)
    assert pack_rows(KINDS["videos"], "unit", [row]).num_rows == 1
    assert not list(run.rglob("*.mp4"))  # nothing is copied


def test_one_file_is_a_folder_of_one(tmp_path: Path, film: Path) -> None:
    (row,) = crawl(tmp_path, input=str(film)).values()
    assert isinstance(row, dict) and row["path"] == str(film)


def test_copies_count_once_in_any_order_and_again(tmp_path: Path, film: Path) -> None:
    source = tmp_path / "videos"
    source.mkdir()
    for name in ("b.mp4", "a.mp4", "c.mp4"):
        (source / name).write_bytes(film.read_bytes())
    stage = Crawl(input=str(source))
    stage.look(Store(tmp_path / "run"))
    for order in (["c.mp4", "a.mp4", "b.mp4"], ["b.mp4", "c.mp4", "a.mp4"]):
        with stage.driver(Context(tmp_path / "run")) as given:
            worker = stage.worker(Context(tmp_path / "run", given=given))
            kept = [unit for unit in order if _kept(worker, unit)]
        assert kept == ["a.mp4"]
    (source / "0.mp4").write_bytes(film.read_bytes())  # comes later: the owner stays
    results = crawl(tmp_path / "run", input=str(source))
    assert [unit for unit, result in results.items() if isinstance(result, dict)] == ["a.mp4"]
    assert results["0.mp4"].detail == "the same video as a.mp4"  # type: ignore[union-attr]


def _kept(worker: Work, unit: str) -> bool:
    try:
        return bool(list(worker.process(Unit(unit, {}))))
    except Reject as reject:
        assert reject.reason is Reason.DUPLICATE
        return False


def test_bad_files_of_a_folder_get_a_reason(tmp_path: Path, film: Path) -> None:
    source = tmp_path / "videos"
    source.mkdir()
    (source / "cut.mp4").write_bytes(film.read_bytes()[:700])
    (source / "empty.mp4").touch()
    (source / "page.mp4").write_bytes(b"<!DOCTYPE html><html></html>")
    (source / "noise.mp4").write_bytes(os.urandom(4000))
    (source / "dangling.mp4").symlink_to(source / "nowhere.mp4")
    (source / "good.mp4").write_bytes(film.read_bytes())
    results = crawl(tmp_path / "run", input=str(source))
    reasons = {unit: result.reason for unit, result in results.items() if not isinstance(result, dict)}
    assert reasons == {
        "cut.mp4": Reason.CORRUPT,
        "empty.mp4": Reason.EMPTY_FILE,
        "page.mp4": Reason.NOT_MEDIA,
        "noise.mp4": Reason.NOT_MEDIA,
        "dangling.mp4": Reason.SOURCE_MISSING,
    }


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable to the superuser")
def test_a_file_that_may_not_be_read(tmp_path: Path, film: Path) -> None:
    source = tmp_path / "videos"
    source.mkdir()
    (source / "locked.mp4").write_bytes(film.read_bytes())
    (source / "locked.mp4").chmod(0)
    (result,) = crawl(tmp_path / "run", input=str(source)).values()
    assert isinstance(result, Failure)


def test_odd_names_become_units_that_tables_can_hold(tmp_path: Path, film: Path) -> None:
    source = tmp_path / "videos"
    source.mkdir()
    for name in (b"line\nbreak.mp4", b"\xff\xfe.mp4", "50%25 größer.mp4".encode()):
        (source / os.fsdecode(name)).write_bytes(film.read_bytes())
    found = folder_units(str(source))
    assert found == ["50%25 größer.mp4", "line%0Abreak.mp4", "%FF%FE.mp4"]
    assert all(local_path(str(source), unit).is_file() for unit in found)


@pytest.mark.parametrize("unit", ["../x.mp4", "a/../../x.mp4", "/etc/passwd", "%2e%2e/x.mp4", "a%2F..%2F../x"])
def test_no_unit_leads_out_of_the_folder(unit: str, tmp_path: Path) -> None:
    with pytest.raises(Reject) as caught:
        local_path(str(tmp_path), unit)
    assert caught.value.reason is Reason.BAD_LINK


@pytest.mark.parametrize(("given", "says"), [("", "not set"), ("/no/such/place", "no file or folder")])
def test_an_input_that_is_not_there_is_told(given: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=says):
        Crawl(input=given).sources(Store(tmp_path))


def test_what_is_left_out_of_a_folder_is_said(tmp_path: Path, film: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source, elsewhere = tmp_path / "videos", tmp_path / "elsewhere"
    source.mkdir()
    elsewhere.mkdir()
    (elsewhere / "film.mp4").write_bytes(film.read_bytes())
    (source / "link").symlink_to(elsewhere, target_is_directory=True)
    (source / ".hidden.srt").touch()
    stage = Crawl(input=str(source))
    with pytest.raises(BadUse, match=r"holds no video; left out: 1 link to folders, .* \(link\): name such"):
        run_stage(stage, tmp_path / "run", Registry())
    for name in ("a.mxf", "b.f4v", "c", "d.tar", "e.tar"):
        (source / name).touch()
    with pytest.raises(BadUse, match=r"5 files by name no video \(2 .tar, 1 .\w+, 1 .+\); 1 link") as empty:
        run_stage(stage, tmp_path / "run", Registry())
    assert "\n" not in str(empty.value) and ".srt" not in str(empty.value)
    (source / "film.mp4").write_bytes(film.read_bytes())
    assert list(crawl(tmp_path / "run", input=str(source))) == ["film.mp4"]
    assert "crawl: left out: 5 files by name no video" in capsys.readouterr().err


def test_an_input_that_holds_nothing_is_told(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "links.txt").write_text("# none yet\n\n")
    for name, said in (("empty", "the folder .* holds no video$"), ("links.txt", "holds nothing to crawl$")):
        stage = Crawl(input=str(tmp_path / name))
        with pytest.raises(BadUse, match=said):
            run_stage(stage, tmp_path / "run", Registry())
        assert not stage.sources(Store(tmp_path / "run")), "who only looks is not stopped"


# Lists


def test_bad_lines_are_units_with_their_number(tmp_path: Path, web: Server) -> None:
    base, _ = web
    lines = ["# a comment", f"{base}/good/a.mp4  # said twice", "../x", "-o", "", "x" * 300, f"{base}/good/a.mp4#t=3"]
    lines += [
        "file:///etc/passwd",
        "https://user:secret@example.org/v",
        "https://youtu.be/short",
        "http://10.0.0.1/v.mp4",
    ]
    good, *bad = crawl_links(tmp_path, *lines)
    assert isinstance(good, dict) and good["url"] == f"{base}/good/a.mp4"
    assert all(isinstance(result, Reject) and result.reason is Reason.BAD_LINK for result in bad)
    numbers = [int(str(result.detail).split()[1].rstrip(":")) for result in bad]  # type: ignore[union-attr]
    assert numbers == [3, 4, 6, 8, 9, 10, 11]
    assert "secret" not in str([result.detail for result in bad])  # type: ignore[union-attr]


def test_links_to_one_youtube_video_are_one_link() -> None:
    page = "https://www.youtube.com/watch?v=-_aB3dEfGhI"
    for text in (
        "https://youtu.be/-_aB3dEfGhI?si=x",
        "http://m.youtube.com/watch?list=PL1&v=-_aB3dEfGhI&t=10s",
        "https://www.youtube.com/shorts/-_aB3dEfGhI",
        "https://www.youtube-nocookie.com/embed/-_aB3dEfGhI?rel=0",
        "yt:-_aB3dEfGhI",
        page,
    ):
        assert links.normalised(text) == page
    assert links.normalised("HTTPS://Example.ORG:443/A?b=C#d") == "https://example.org/A?b=C"
    for text in ("https://www.youtube.com/playlist?list=PL1", "https://www.youtube.com/@someone", "yt:../../etc/pw"):
        with pytest.raises(Reject):
            links.normalised(text)


def test_a_table_of_links_is_read_by_its_column(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_text("name,URL\nx,https://a.org/1\ny,https://a.org/1\nz,nonsense\n,\n", encoding="utf-8-sig")
    found = read_list(path)
    assert (found.links, found.repeated, len(found.bad)) == (["https://a.org/1"], 1, 1)
    assert next(iter(found.bad)).startswith("line 4:")


def test_a_quoted_cell_over_two_lines_is_one_row(tmp_path: Path) -> None:
    path = tmp_path / "links.csv"
    path.write_text('title,url\n"two\nlines",https://a.org/1\n"never closed,https://a.org/2\nx,https://a.org/3\n')
    found = read_list(path)
    assert found.links == ["https://a.org/1", "https://a.org/3"]
    assert [text[:7] for text in found.bad.values()] == ["line 4:"]


def test_bare_youtube_ids_are_links(tmp_path: Path) -> None:
    pages = [f"https://www.youtube.com/watch?v={video}" for video in ("-_aB3dEfGhI", "YqnhRPq2Hq0")]
    (tmp_path / "ids.txt").write_text("-_aB3dEfGhI\n  YqnhRPq2Hq0  # a talk\nYqnhRPq2Hq\nYqnhRPq2Hq0x\n")
    found = read_list(tmp_path / "ids.txt")
    assert found.links == pages and [text.split(":")[0] for text in found.bad.values()] == ["line 3", "line 4"]
    (tmp_path / "ids.csv").write_text("n,video_id\n1,-_aB3dEfGhI\n2,YqnhRPq2Hq0\n")
    assert read_list(tmp_path / "ids.csv").links == pages


def test_a_nul_in_a_list_costs_its_line_alone(tmp_path: Path) -> None:
    for name in ("links.txt", "links.csv"):
        (tmp_path / name).write_bytes(b"https://a.org/1\nhttps://a.org/\0\nhttps://a.org/3\r\nhttps://a.org/\xff\n")
        found = read_list(tmp_path / name)
        assert found.links[:2] == ["https://a.org/1", "https://a.org/3"]
        assert next(iter(found.bad.values())).startswith("line 2: control characters")


def test_a_list_that_is_no_text_is_told(tmp_path: Path) -> None:
    (tmp_path / "links.txt").write_bytes(b"\0\1\2" * 10)
    with pytest.raises(InputError, match="not a text file"):
        read_list(tmp_path / "links.txt")


# The web


def test_a_download_is_verified_hashed_and_in_place(tmp_path: Path, web: Server, film: Path) -> None:
    (row,) = crawl_links(tmp_path, f"{web[0]}/good/one.mp4")
    assert isinstance(row, dict)
    path = tmp_path / row["path"]
    assert path.read_bytes() == film.read_bytes() and path.parent.parent == tmp_path / "raw"
    assert row["sha256"] == hashlib.sha256(film.read_bytes()).hexdigest()
    assert set(row) <= set(KINDS["videos"].schema.names)
    assert left_over(tmp_path) == []


def test_a_run_may_be_named_from_where_one_stands(tmp_path: Path, web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    run = Path("runs/mine")
    run.mkdir(parents=True)
    (row,) = crawl_links(run, f"{web[0]}/good/one.mp4")
    assert isinstance(row, dict) and (run / row["path"]).is_file()


@pytest.mark.parametrize(
    ("manner", "reason"),
    [
        ("missing", Reason.GONE),
        ("gone", Reason.GONE),
        ("forbidden", Reason.THROTTLED),
        ("throttled", Reason.THROTTLED),
        ("busy", Reason.THROTTLED),
        ("broken", Reason.NETWORK),
        ("web-page", Reason.NOT_MEDIA),
        ("page-as-video", Reason.NOT_MEDIA),
        ("noise-as-video", Reason.NOT_MEDIA),
        ("nothing-as-video", Reason.NETWORK),
        ("half-and-close", Reason.NETWORK),
        ("half-of-unknown", Reason.NETWORK),
        ("to-private", Reason.BAD_LINK),
        ("to-metadata", Reason.BAD_LINK),
        ("to-file", Reason.BAD_LINK),
        ("to-ftp", Reason.BAD_LINK),
    ],
)
def test_unkind_answers_are_never_a_success(manner: str, reason: Reason, tmp_path: Path, web: Server) -> None:
    (result,) = crawl_links(tmp_path, f"{web[0]}/{manner}/film.mp4")
    assert isinstance(result, Reject | Failure)
    assert result.reason is reason, result
    assert not list(tmp_path.rglob("file_*.mp4"))
    if isinstance(result, Reject):
        assert left_over(tmp_path) == []


def test_a_broken_download_goes_on_where_it_stopped(tmp_path: Path, web: Server, film: Path) -> None:
    (row,) = crawl_links(tmp_path, f"{web[0]}/breaks-once/film.mp4")
    assert isinstance(row, dict) and (tmp_path / row["path"]).read_bytes() == film.read_bytes()


def test_what_an_interrupted_run_left_is_continued(tmp_path: Path, web: Server, film: Path) -> None:
    link, whole = f"{web[0]}/breaks-once/film.mp4", film.read_bytes()
    (first,) = crawl_links(tmp_path, link, retries=0)
    assert isinstance(first, Failure) and first.reason is Reason.NETWORK
    (part,) = (tmp_path / "raw").glob("tmp-*/*.part")
    assert part.read_bytes() == whole[: len(whole) // 2]
    (second,) = crawl_links(tmp_path, link, retries=0)  # the server gives no whole body a second time
    assert isinstance(second, dict) and (tmp_path / second["path"]).read_bytes() == whole
    assert left_over(tmp_path) == []


def test_redirects_within_what_is_allowed_are_followed(tmp_path: Path, web: Server) -> None:
    (row,) = crawl_links(tmp_path, f"{web[0]}/to-good/film.mp4")
    assert isinstance(row, dict)


def test_lists_of_others_do_not_reach_this_machine(tmp_path: Path, web: Server) -> None:
    base, asked = web
    before = sum(asked.values())
    for host in (base, base.replace("127.0.0.1", "localhost")):
        (result,) = crawl_links(tmp_path, f"{host}/good/film.mp4", allow_loopback=False)
        assert isinstance(result, Reject) and result.reason is Reason.BAD_LINK
    assert sum(asked.values()) == before


def test_a_public_name_that_leads_here_is_refused(tmp_path: Path, web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    import socket

    port = int(web[0].rpartition(":")[2])
    answer = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *args, **kwargs: answer)
    (result,) = crawl_links(tmp_path, f"http://video.example.org:{port}/good/film.mp4", allow_loopback=False)
    assert isinstance(result, Reject) and result.reason is Reason.BAD_LINK and "127.0.0.1" in result.detail


def test_a_server_that_never_answers_is_hung_up_on(tmp_path: Path, web: Server) -> None:
    """The server keeps silent for as long as the client stays, so each request that ended was ended by the crawl."""
    _, asked = web
    (result,) = crawl_links(tmp_path, f"{web[0]}/silent/film.mp4", timeout_seconds=0.3, retries=0)
    assert isinstance(result, Failure) and result.reason is Reason.NETWORK
    assert asked["silent"] == 1
    for _ in range(200):  # the server's thread may come to know a moment later
        if not asked["hung up"]:
            time.sleep(0.05)
    assert asked["hung up"] == 1


def test_two_links_to_one_video_are_one_video(tmp_path: Path, web: Server) -> None:
    base, _ = web
    first, second = crawl_links(tmp_path, f"{base}/good/a.mp4", f"{base}/good/b.mp4")
    assert isinstance(first, dict)
    assert isinstance(second, Reject) and second.reason is Reason.DUPLICATE
    again = crawl_links(tmp_path, f"{base}/good/a.mp4", f"{base}/good/b.mp4")
    assert [isinstance(result, dict) for result in again] == [True, False]


def test_limits_hold_before_and_after_the_download(tmp_path: Path, web: Server) -> None:
    base, _ = web
    (result,) = crawl_links(tmp_path, f"{base}/good/a.mp4", max_gigabytes=1e-6)
    assert isinstance(result, Reject) and result.reason is Reason.TOO_LARGE
    (result,) = crawl_links(tmp_path, f"{base}/good/a.mp4", max_hours=1e-4)
    assert isinstance(result, Reject) and result.reason is Reason.TOO_LONG


def test_a_full_disk_stops_with_its_reason(tmp_path: Path, web: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    from stages.crawl import place

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path))

    monkeypatch.setattr(place, "put", full)
    (result,) = crawl_links(tmp_path, f"{web[0]}/good/a.mp4")
    assert isinstance(result, Failure) and result.reason is Reason.DISK_FULL


def test_what_a_site_says_is_cleaned() -> None:
    row = metadata(
        {
            "title": "a\x00b\n<script>\u202e " + "x" * 10_000,
            "channel": {"not": "text"},
            "upload_date": "20240229",
            "language": "\ud800",
            "license": " Creative  Commons ",
        }
    )
    assert row["title"].startswith("ab <script> xxx") and len(row["title"]) == 300
    assert (row["channel"], row["language"]) == (None, None)
    assert (row["upload_date"], row["licence"]) == ("2024-02-29", "Creative Commons")
    assert clean("a\u200cb \u2067c", 50) == "a\u200cb c"  # joiners shape words, bidirectional controls disguise them


def test_what_names_the_work_is_no_setting_of_its_result() -> None:
    names = set(Crawl(input="a").result_settings())
    assert names == {
        *("height_px", "min_height_px", "codecs", "min_seconds", "max_hours", "languages", "licences"),
        *("max_gigabytes", "max_megapixels"),
    }


def test_the_demo_is_crawled_from_its_own_server(tmp_path: Path, film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline import theatre

    takes = [take.name for take in theatre.TAKES]

    def build(folder: Path, programme: str, **_: object) -> None:
        folder.mkdir(parents=True)
        for seed, take in enumerate(theatre.TAKES):
            write_film(folder / f"{take.name}.mp4", [30], seed=seed).rename(folder / take.file)

    monkeypatch.setattr(theatre, "build", build)
    monkeypatch.setitem(theatre.PROGRAMMES, "demo", theatre.TAKES[:2])
    rows = list(crawl(tmp_path, input="theatre").values())
    assert [row["source"] for row in rows] == [f"theatre://{name}" for name in takes[:2]]  # type: ignore[index]
    assert all((row["footage"], row["url"]) == ("theatre", None) for row in rows)  # type: ignore[index]
