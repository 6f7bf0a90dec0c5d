"""Which works go with a work: by its sound, and by what the table of twins knows beside that."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

from pipeline.engine import works
from pipeline.engine.works import MOTION, SOUND, Clusters, Work, with_twins
from pipeline.media.chromaprint import Items, fingerprint
from pipeline.media.twins.limits import Limits
from pipeline.media.twins.link import SoundLink, link_of
from pipeline.tables.store import Store
from tests.stages import fake_run
from tests.stages.twins.talks import RATE, talk

WORK, COPY, DUB, NEAR, OTHER = (f"yt:{letter * 11}" for letter in "abcde")


def prints() -> dict[str, np.ndarray]:
    sounds = {WORK: talk(1, 20), COPY: 0.5 * talk(1, 20), DUB: talk(2, 20), OTHER: talk(3, 20)}
    found = {video: fingerprint(wave.astype(np.float32)) for video, wave in sounds.items()}
    return {video: items for video, items in found.items() if items is not None}


CLUSTERS = Clusters(
    {WORK: "1", COPY: "1", DUB: "1"}, {WORK: "n", COPY: "n", DUB: "n", NEAR: "n"}, {DUB: 0.9, NEAR: 0.66}
)


def test_a_dub_goes_by_what_moves_and_what_is_only_near_is_asked_for_once() -> None:
    asked: list[Work] = []

    def no(work: Work) -> bool:
        asked.append(work)
        return False

    found = {work.video: work for work in with_twins([Work(WORK)], prints(), CLUSTERS, Limits(), no)}
    assert {video: work.how for video, work in found.items()} == {WORK: "named", COPY: SOUND, DUB: MOTION}
    assert found[DUB].likeness == 0.9 and found[DUB].like == WORK
    assert [(work.video, work.likeness) for work in asked] == [(NEAR, 0.66)]
    yes = with_twins([Work(WORK)], prints(), CLUSTERS, Limits(), lambda _: True)
    assert {work.video for work in yes} == {WORK, COPY, DUB, NEAR}


def test_what_only_comes_near_by_sound_goes_unasked_where_what_moves_makes_it_a_twin() -> None:
    mixed = np.concatenate([talk(9, 20), talk(1, 24)[4 * RATE : 9 * RATE], talk(10, 20)]).astype(np.float32)
    heard = {WORK: fingerprint(talk(1, 24).astype(np.float32)), DUB: fingerprint(mixed)}
    asked: list[Work] = []

    def no(work: Work) -> bool:
        asked.append(work)
        return False

    of_two = Clusters({WORK: "1", DUB: "1"}, {WORK: "n", DUB: "n"}, {DUB: 0.9})
    by_sound = with_twins([Work(WORK)], heard, Clusters({}, {}, {}), Limits(), no)
    assert [work.video for work in by_sound] == [WORK] and [work.video for work in asked] == [DUB], "it only comes near"
    asked.clear()
    found = {work.video: work for work in with_twins([Work(WORK)], heard, of_two, Limits(), no)}
    assert found[DUB].how == MOTION and found[DUB].sure and DUB not in {work.video for work in asked}


def test_only_what_may_be_alike_is_compared_however_many_works_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    heard = {f"yt:{number:011}": fingerprint(talk(number, 6).astype(np.float32)) for number in range(24)}
    named = [Work(video) for video in sorted(heard)[:12]]
    copies = {f"yt:copy{number:07}": heard[f"yt:{number:011}"] for number in range(0, 12, 3)}
    compared: list[tuple[str, str]] = []

    def link(a: str, b: str, prints: Mapping[str, Items], limits: Limits) -> SoundLink | None:
        compared.append((a, b))
        return link_of(a, b, prints, limits)

    monkeypatch.setattr(works, "link_of", link)
    found = with_twins(named, {**heard, **copies}, Clusters({}, {}, {}), Limits(), lambda _: False)
    assert {work.video for work in found} == {*(work.video for work in named), *copies}
    assert len(compared) < 3 * len(copies), "and not each of twelve with each of twenty-eight"
    compared.clear()
    kept = works.like_kept([heard[work.video] for work in named], copies, Limits())
    assert {work.video for work in kept} == set(copies) and len(compared) < 3 * len(copies)


def test_a_work_without_sound_has_the_twins_that_the_table_knows() -> None:
    found = with_twins([Work(NEAR)], prints(), CLUSTERS, Limits(), lambda _: True)
    assert {work.video for work in found} == {WORK, COPY, DUB, NEAR}


def test_videos_that_are_in_no_cluster_are_nobodys_twins(tmp_path: Path) -> None:
    rows = [
        {"video_id": video, "cluster_id": cluster, "near_cluster_id": cluster, "motion_likeness": like}
        for video, cluster, like in ((WORK, "1", None), (DUB, "1", 0.8), (NEAR, None, None), (OTHER, None, None))
    ]
    fake_run.add(Store(tmp_path), "twins", rows)
    clusters = Clusters.of(Store(tmp_path))
    assert [work.video for work in clusters.beside(WORK, ())] == [DUB]
    assert list(clusters.beside(NEAR, ())) == [] == list(clusters.beside(OTHER, ()))
    assert Clusters.of(Store(tmp_path / "none")) == Clusters({}, {}, {})
