"""What the page says of twins."""

from pathlib import Path

import pytest

from pipeline.tables.store import Store
from stages.report import gather, page
from stages.report.people import fixed_of
from stages.report.settings import ReportSettings
from stages.report.twins import twins_of
from tests.stages import fake_run


def with_twins(run: Path, *, rows: bool = True) -> Store:
    store = Store(run)
    with fake_run.together(store):
        for number, title in ((1, "The <b>Original</b>"), (2, "Again"), (3, None), (4, "A dub")):
            fake_run.add_video(store, number, title=title)
            fake_run.add_person(store, number)
        ids = [fake_run.video_id(number) for number in (1, 2, 3, 4)]
        heard = [{"video_id": one, "fingerprint_of": "chromaprint-1" if one != ids[2] else None} for one in ids]
        fake_run.add(store, "sound_fingerprints", heard if rows else [])
        copy = {"twin_of": ids[0], "how": "sound", "speed": 1.02, "offset_seconds": 3.3, "matched_seconds": 17.26}
        dub = {"how": "motion", "mirrored": True, "motion_likeness": 0.914, "better_spans": [[0.0, 17.26]]}
        names = {"cluster_id": "t1", "near_cluster_id": "t1"}
        found = [
            {"video_id": ids[0], "kept": True, **names},
            {"video_id": ids[1], "kept": False, **names, **copy, "bit_error": 0.0123, "better_spans": [[0.0, 17.26]]},
            {"video_id": ids[2], "kept": True},
            {"video_id": ids[3], "kept": False, **names, **copy, **dub},
        ]
        fake_run.add(store, "twins", found if rows else [])
    return store


def test_clusters_are_listed_with_titles_and_without_their_markup(tmp_path: Path) -> None:
    tables = gather.gather(with_twins(tmp_path))
    twins = twins_of(tables)
    assert twins is not None
    assert (twins.clusters, twins.videos, twins.near, twins.compared, twins.unheard, twins.more) == (1, 3, 0, 3, 1, 0)
    html = page.render(tables, ReportSettings(), [])
    section = html[html.index('id="twins"') : html.index('id="stages"')]
    for said in (
        "3 videos in 1 cluster",
        "motion, mirrored",
        "0.91",
        "sound</td>",
        "17.3 s",
        "3.3 s",
        "1.020",
        "1.2 %",
        "Again",
        "&lt;b&gt;Original",
    ):
        assert said in section
    assert "<b>Original" not in section


def test_nothing_is_said_where_nobody_looked(tmp_path: Path) -> None:
    tables = gather.gather(with_twins(tmp_path, rows=False))
    assert twins_of(tables) is None
    assert 'id="twins"' not in page.render(tables, ReportSettings(), [])


@pytest.mark.parametrize("drops", [True, False])
def test_the_page_recounts_with_twins_dropped_where_judge_drops_them(tmp_path: Path, drops: bool) -> None:
    store = with_twins(tmp_path)
    (tmp_path / "profile.toml").write_text(f"[stages.judge]\ndrop_twins = {str(drops).lower()}\n")
    ids = fake_run.ids(2)
    verdict = {"keep": False, "reasons": ["near_duplicate"], "details": ["it is"], "unmeasured": []}
    fake_run.add(store, "verdicts", [ids | verdict | {"copy_of": fake_run.video_id(1)}], attempt=2)
    tables = gather.gather(Store(tmp_path))
    fixed = fixed_of(tables).reasons.get("near_duplicate")
    assert (fixed is not None and fixed[list(tables.people["person_id"]).index(ids["person_id"])]) == drops
