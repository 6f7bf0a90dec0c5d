"""The player of the report in a browser: the skeleton lies on the right pixels, sound on demand, one film at a time."""

import csv
import threading
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pytest

from pipeline.engine.stage import Context
from pipeline.engine.unit import Unit
from pipeline.media.video import write_clip
from pipeline.tables.store import Store
from pipeline.views import table_one
from pipeline.views.server import serve
from stages.previews import Previews
from stages.report import Report
from tests.browser import CHROMIUM, Page, chromium
from tests.stages import fake_run

pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CHROMIUM, reason="no Chromium here")]

WRIST = 9
FRAMES = fake_run.FRAMES
SOURCE, SIDE = (640, 360), 512
KEPT, DROPPED = 0, 1  # cards


def path_of_dot(size: tuple[int, int]) -> np.ndarray:
    """(FRAMES, 2) px: it goes round, so that no two frames near each other have it in one place."""
    angle = np.arange(FRAMES) * 0.15
    return np.stack([size[0] * (0.5 + 0.3 * np.cos(angle)), size[1] * (0.5 + 0.3 * np.sin(angle))], -1)


def film(path: Path, size: tuple[int, int]) -> Path:
    """A bright dot on dark grey, with sound."""

    def pictures() -> Iterator[np.ndarray]:
        for x, y in path_of_dot(size):
            picture = np.full((size[1], size[0], 3), 40, np.uint8)
            cv2.circle(picture, (round(x * 16), round(y * 16)), 7 * 16, (240, 240, 240), -1, cv2.LINE_AA, 4)
            yield picture

    tone = (0.2 * np.sin(np.arange(FRAMES * 640) / 8)).astype(np.float32)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_clip(path, pictures(), tone, size=size, preset="ultrafast", crf=12)
    return path


def skeleton(size: tuple[int, int]) -> dict:
    """One wrist on the dot; nothing else is seen."""
    points = np.full((FRAMES, 133, 2), np.nan, np.float32)
    points[:, WRIST] = path_of_dot(size)
    scores = np.where(np.isfinite(points[..., 0]), 0.9, 0).astype(np.float32)
    return {"keypoints": points.reshape(FRAMES, -1), "scores": scores}


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One kept and one dropped person whose wrist is a bright dot, and another kept one to go on to."""
    run = tmp_path_factory.mktemp("player") / "run"
    store = Store(run)
    source, sample = film(run / "raw/dot.mp4", SOURCE), film(run / "clips/ab/dot.mp4", (SIDE, SIDE))
    with fake_run.together(store):
        for video, keep in ((1, True), (2, False), (3, True)):
            fake_run.add_video(store, video, path=str(source), grid_frames=FRAMES, audio_codec="aac")
            fake_run.add_clip(store, video)
            own = fake_run.ids(video)
            seen = {"person": 0, "frames": FRAMES, "width": SOURCE[0], "height": SOURCE[1], **skeleton(SOURCE)}
            fake_run.add(store, "persons", [{**own, **seen}])
            fake_run.add(store, "pose_measures", [{**own, "yaw_degrees": 70.0, "crop_box": [140, 0, 500, 360]}])
            details = [] if keep else ["yaw_degrees 70 deg > 50"]
            fake_run.judge(store, video, keep=keep, reasons=[] if keep else ["side_view"], details=details)
            if keep:
                fake_run.add_sample(store, video, video="clips/ab/dot.mp4", **skeleton((SIDE, SIDE)))
    fake_run.run(Previews(), run)
    assert sample.is_file()
    list(Report().worker(Context(run)).process(Unit("all", {})))
    return run


@pytest.fixture(scope="module")
def page(run: Path) -> Iterator[Page]:
    server = serve(run, 0)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        with chromium() as browser:
            page = browser.page()
            page.size(1280, 900)
            page.open(server.address)
            page.wait("'ready' in document.documentElement.dataset && document.querySelectorAll('.card').length === 3")
            yield page
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# The middle of the bright dot and of the joint's colour over it, on a canvas, in its own pixels; null where nothing is seen.
FOUND = """(() => {
    const canvas = showing.canvas;
    const { data, width } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
    const middle = (fits) => {
        let [n, x, y] = [0, 0, 0];
        for (let i = 0; i < data.length; i += 4) {
            if (!fits(data[i], data[i + 1], data[i + 2])) continue;
            n += 1; x += (i / 4) % width; y += Math.floor(i / 4 / width);
        }
        return n > 3 ? [x / n, y / n] : null;
    };
    const bright = middle((r, g, b) => Math.min(r, g, b) > 170);
    const coloured = middle((r, g, b) => Math.max(r, g, b) - Math.min(r, g, b) > 60);
    return { bright, coloured, frame: showing.frame, scale: canvas.width / canvas.clientWidth, wide: canvas.width };
})()"""


def opened(page: Page, number: int, scale: float) -> None:
    page.size(1280, 900, scale)
    page.run(f"document.querySelectorAll('.card')[{number}].click()")
    page.wait("showing && showing.large && showing.canvas.isConnected && showing.pose")


def closed(page: Page) -> None:
    page.run("document.getElementById('details').close()")
    page.wait("!document.querySelector('.player.large')")


@pytest.mark.parametrize("number", [KEPT, DROPPED])
@pytest.mark.parametrize("scale", [1, 2.5])
def test_the_joint_lies_on_the_dot(page: Page, number: int, scale: float) -> None:
    opened(page, number, scale)
    size = (SIDE, SIDE) if number == KEPT else SOURCE
    box = page.run(
        "(({ pose, video }) => { const { box } = pose; pose.box = null; video.pause(); return box; })(showing)"
    )
    assert box == (None if number == KEPT else [84, 0, 300, 216]), "in pixels of the small film"
    for frame in (0, 1, 17, 64, FRAMES - 1):
        page.run(f"showing.go({frame})")
        page.wait(f"showing.frame === {frame}")
        page.run("chosen.skeleton = false; showing.draw()")
        bare = page.run(FOUND)
        page.run("chosen.skeleton = true; showing.draw()")
        drawn = page.run(FOUND)
        truth = (path_of_dot(size)[frame] + 0.5) * bare["wide"] / size[0] - 0.5
        assert bare["coloured"] is None
        assert np.abs(np.array(bare["bright"]) - truth).max() < 2 * scale, "the picture is that frame"
        assert np.abs(np.array(drawn["coloured"]) - bare["bright"]).max() < 2, "px of the canvas"
    closed(page)


def test_the_skeleton_keeps_step_while_it_plays(page: Page) -> None:
    opened(page, DROPPED, 1)
    page.run("showing.pose.box = null")
    off = page.run(f"""new Promise((done) => {{
        const found = [];
        const draw = showing.draw.bind(showing);
        showing.draw = () => {{
            chosen.skeleton = false; draw(); const bare = {FOUND}.bright;
            chosen.skeleton = true; draw(); const joint = {FOUND}.coloured;
            if (bare && joint) found.push(Math.hypot(bare[0] - joint[0], bare[1] - joint[1]));
            if (found.length >= 12) done(found);
        }};
        showing.video.play();
    }})""")
    assert len(off) >= 12
    assert max(off) < 2, off
    closed(page)


def test_keys(page: Page) -> None:
    opened(page, DROPPED, 1)
    page.wait("!showing.video.paused && showing.frame > 2")
    assert page.run("showing.video.muted"), "it begins without sound"
    page.press("m")
    page.wait("!showing.video.muted && !showing.video.paused")
    page.press("m")
    page.wait("showing.video.muted")
    page.press("p")
    page.wait("showing.video.paused")
    page.run("showing.go(40)")
    page.wait("showing.frame === 40")
    page.press(".")
    page.wait("showing.frame === 41")
    page.press(",")
    page.press(",")
    page.wait("showing.frame <= 40")
    page.press("h")
    page.wait("showing.video.playbackRate === 0.5")
    page.press("h")
    page.press("s")
    page.wait("!chosen.skeleton")
    page.press("s")
    page.run("document.querySelector('.controls input').focus()")
    page.press("p")
    page.wait("!showing.video.paused")
    closed(page)


def test_hover_plays_one_film_without_sound_and_leaving_releases_it(page: Page) -> None:
    page.size(1280, 900)
    place = """(number => {
        const card = document.querySelectorAll('.card .screen')[number];
        card.scrollIntoView({behavior: 'instant', block: 'center'});
        const box = card.getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2];
    })"""
    page.move(*page.run(f"{place}(0)"))
    page.wait("showing && !showing.video.paused && showing.frame > 1")
    assert page.run("showing.video.muted")
    page.run("globalThis.first = showing")
    page.move(*page.run(f"{place}(1)"))
    page.wait("showing && showing !== first && showing.frame > 1")
    assert page.run("!first.video.getAttribute('src') && !first.canvas.isConnected && first.closed")
    assert page.run("document.querySelectorAll('canvas').length") == 1
    button = page.run("""(() => { const box = document.querySelector('.sound').getBoundingClientRect();
        return [box.x + box.width / 2, box.y + box.height / 2]; })()""")
    page.click(*button)
    page.wait("showing && !showing.video.muted && !showing.video.paused")
    assert not page.run("document.getElementById('details').open"), "the button is no way into details"
    page.move(5, 5)
    page.wait("showing === null && !document.querySelector('canvas, .sound')")


def test_focus_plays_and_keys_go_from_card_to_card(page: Page) -> None:
    page.run("document.querySelector('[data-tools] input[type=search]').focus()")
    while page.run("!document.activeElement.matches('.card')"):
        page.press("Tab")
    page.wait("showing && !showing.video.paused && document.activeElement.contains(showing.node)")
    assert page.run("[...document.querySelectorAll('.card')].map((one) => one.tabIndex)") == [0, -1, -1]
    page.press("m")
    page.wait("!showing.video.muted")
    page.press("ArrowRight")
    page.wait("showing && document.querySelectorAll('.card')[1].contains(showing.node) && showing.frame > 0")
    assert page.run("showing.video.muted"), "each begins without sound"
    page.press("Enter")
    page.wait("showing && showing.large")
    page.press("ArrowLeft")
    page.wait(
        "decodeURIComponent(location.hash).endsWith('1/0+130#0') && showing && showing.large && showing.frame > 0"
    )
    closed(page)
    page.run("document.activeElement.blur()")


def saved(page: Page, name: str, kind: str) -> str:
    """What the button gives to the browser to save."""
    return page.run(f"""new Promise((done) => {{
        const real = URL.createObjectURL;
        URL.createObjectURL = (blob) => {{ URL.createObjectURL = real; blob.text().then(done); return "#"; }};
        [...document.querySelectorAll('.save button')].find((one) => one.getAttribute('aria-label') === '{name} as {kind}').click();
    }})""")


def test_tables_and_figures_are_saved_as_they_stand(page: Page, run: Path) -> None:
    rows = list(csv.reader(saved(page, "table-1", "CSV").splitlines()))
    assert tuple(rows[0]) == table_one.HEADS
    assert rows[1:] == [list(table_one.row(Store(run))), *map(list, table_one.PUBLISHED)]
    figure = list(csv.reader(saved(page, "figure-2", "CSV").splitlines()))
    assert figure == [["Clip length", "5 to 6 s", "", "100.0 %"]]
    bars = list(csv.reader(saved(page, "measures", "CSV").splitlines()))
    assert bars[0] == ["measure", "values", "kept", "dropped"]
    yaw = [bar for bar in bars[1:] if bar[0] == "yaw_degrees"]
    assert sum(int(kept) + int(dropped) for _, _, kept, dropped in yaw) == 3, "everybody, as the page counts them now"
    for name, words in (("table-1", "147,550"), ("figure-2", "5 to 6 s"), ("measures", "yaw")):
        root = ElementTree.fromstring(saved(page, name, "SVG"))
        assert words in [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]


def test_nothing_leaves_the_page_and_nothing_fails(page: Page) -> None:
    assert page.logged == []
    assert {url.split("/")[2] for url in page.requested if not url.startswith("blob:")} == {page.run("location.host")}
