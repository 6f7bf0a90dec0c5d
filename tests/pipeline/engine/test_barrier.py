"""Shards of one run side by side: no stage that looks at the whole run begins on half of it."""

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar

import pytest
from click.testing import CliRunner

from pipeline.base.reasons import Failure, Reason
from pipeline.base.units import Row
from pipeline.cli.main import main
from pipeline.engine import barrier
from pipeline.engine.barrier import Barrier, OthersFirst, Phase, needed, phases
from pipeline.engine.decoded import FOLDER
from pipeline.engine.endings import ending_of
from pipeline.engine.plan import in_shard
from pipeline.engine.profile import Profile, load, shipped
from pipeline.engine.runner import Options
from pipeline.engine.stage import Context, Reads, Resources, Stage
from pipeline.engine.unit import Unit
from pipeline.registry.models import Registry
from pipeline.tables.lock import driving
from pipeline.tables.store import Store
from tests.pipeline.engine import toy_cli, toys
from tests.pipeline.engine.runs import chain, contents, go, go_all, same

NAMES = ["toy_crawl", "toy_split", "toy_annotate", "toy_measure", "toy_judge", "toy_export"]
UNITS = tuple(f"u{number}" for number in range(6))
HALVES = ((0, 2), (1, 2))


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Profile:
    toy_cli.register(monkeypatch.setitem)
    (tmp_path / "toys.toml").write_text(f"{toy_cli.PROFILE}\n[stages.toy_crawl]\nunits = {list(UNITS)}\n")
    return load(str(tmp_path / "toys.toml"))


class Shard:
    """One shard of a run of toys, in this process."""

    def __init__(self, profile: Profile, run: Path, shard: tuple[int, int], names: Sequence[str] = NAMES) -> None:
        self.profile, self.run, self.shard, self.names = profile, run, shard, names
        self.said: list[str] = []

    def barrier(self) -> Barrier:
        models = Registry(cache=self.run / "nets")
        return Barrier(
            self.profile, Store(self.run), models, self.names, self.shard, 0, lambda _, words: self.said.append(words)
        )

    def goes(self, *names: str) -> list[str]:
        """Run stages as a command does; returns those that found something to do."""
        meets, busy = self.barrier(), []
        for name in names or self.names:
            meets.wait(name)
            options = Options(workers=0, shard=self.shard)
            busy += [name] if go(self.profile.stage(name), self.run, options).pending else []
        return busy


def test_a_shard_stops_where_it_needs_another_and_says_so(profile: Profile, tmp_path: Path) -> None:
    first, second = (Shard(profile, tmp_path / "run", half) for half in HALVES)
    told = r"toy_split waits for other shards: toy_crawl has \d units to do and nobody is at work on them\. .*nothing is lost"
    with pytest.raises(OthersFirst, match=told) as stopped:
        first.goes()
    assert stopped.value.exit_code == 4
    with pytest.raises(OthersFirst, match="toy_annotate waits for other shards: toy_split has"):
        second.goes()
    with pytest.raises(OthersFirst, match="toy_judge waits for other shards: toy_split has"):
        second.goes("toy_judge")
    with pytest.raises(OthersFirst, match="toy_judge waits for other shards: toy_annotate has"):
        first.goes()
    assert not (tmp_path / "run" / "tables" / "verdicts").exists()


def test_shards_in_turn_come_to_what_one_comes_to(profile: Profile, tmp_path: Path) -> None:
    """Stage by stage, as barriers would have it; each verdict is over everybody, and made once."""
    shards = [Shard(profile, tmp_path / "run", (i, 3)) for i in range(3)]
    for name in NAMES:
        for shard in shards:
            shard.goes(name)
    assert Store(tmp_path / "run").outcomes("verdicts")["attempt"].to_pylist() == [1]
    assert not (tmp_path / "run" / "index.txt").exists()
    go_all(tmp_path / "run", chain(UNITS))  # the call that joins
    go_all(tmp_path / "one", chain(UNITS))
    assert same(contents(tmp_path / "run"), contents(tmp_path / "one"))
    indices = [(tmp_path / name / "index.txt").read_text() for name in ("run", "one")]
    assert indices[0] == indices[1]


def test_the_first_shard_judges_and_the_others_wait_for_it(profile: Profile, tmp_path: Path) -> None:
    first, second = (Shard(profile, tmp_path / "run", half) for half in HALVES)
    for name in NAMES[:4]:
        for shard in (first, second):
            shard.goes(name)
    assert second.goes("toy_judge") == []
    with pytest.raises(OthersFirst, match="toy_export waits for other shards: toy_judge has 1 units"):
        second.goes("toy_export")
    assert first.goes("toy_judge") == ["toy_judge"]
    assert second.goes("toy_export") == ["toy_export"] == first.goes("toy_export")


def test_old_verdicts_are_not_built_on(profile: Profile, tmp_path: Path) -> None:
    """All is done, then more comes and one shard goes on alone: nothing is exported by the verdicts of before."""
    run = tmp_path / "run"
    go_all(run, chain(UNITS[:3]))
    second = Shard(profile, run, (1, 2))
    go(toys.ToyCrawl(units=UNITS), run)
    for stage in chain(UNITS)[1:4]:
        go(stage, run)
    with pytest.raises(OthersFirst, match="toy_export waits for other shards: toy_judge"):
        second.goes("toy_judge", "toy_export")


def test_a_shard_waits_as_long_as_somebody_is_at_work(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another shard holds the table and commits at last: the wait ends without an error, however short it may be otherwise."""
    monkeypatch.setattr(barrier, "POLL_SECONDS", 0.01)
    run = tmp_path / "run"
    first, second = (Shard(profile, run, half) for half in HALVES)
    first.goes("toy_crawl")
    begun, go_on = threading.Event(), threading.Event()
    crawl = profile.stage("toy_crawl")

    class Slow(toys.ToyCrawl):
        def process(self, unit: Unit) -> Any:
            begun.set()
            assert go_on.wait(60)
            return super().process(unit)

    slow = Slow(**crawl.model_dump())
    other = threading.Thread(target=lambda: go(slow, run, Options(workers=0, shard=(1, 2))))
    other.start()
    try:
        assert begun.wait(60)
        waiting = threading.Thread(target=lambda: first.goes("toy_split"))
        waiting.start()
        while not first.said:
            waiting.join(0.01)
        assert waiting.is_alive() and "toy_crawl has" in first.said[0] and "writes videos.1-of-2" in first.said[0]
    finally:
        go_on.set()
        other.join()
    waiting.join(60)
    assert len(Store(run).read("clips", ["clip_id"])) > 0
    assert second.goes("toy_split") == ["toy_split"]


def test_failed_units_of_others_stop_nobody_and_untried_ones_do(profile: Profile, tmp_path: Path) -> None:
    run = tmp_path / "run"
    units = [*UNITS, "fail-network", "raise-bug", "reject-it"]
    profile.stages["toy_crawl"]["units"] = units
    first, second = (Shard(profile, run, half) for half in HALVES)
    first.goes("toy_crawl")
    second.goes("toy_crawl")
    assert first.goes("toy_split") == ["toy_split"]
    profile.stages["toy_crawl"]["units"] = [*units, "one-more"]
    with pytest.raises(OthersFirst, match="toy_crawl has 1 units"):
        first.goes("toy_crawl" if not in_shard(toys.ToyCrawl(), "one-more", (0, 2)) else "toy_split", "toy_split")


def test_another_number_of_shards_may_go_on(profile: Profile, tmp_path: Path) -> None:
    run = tmp_path / "run"
    Shard(profile, run, (0, 2)).goes("toy_crawl")
    thirds = [Shard(profile, run, (i, 3)) for i in range(3)]
    assert sum(len(third.goes("toy_crawl")) for third in thirds)
    for name in NAMES[1:]:
        for third in thirds:
            third.goes(name)
    go_all(run, chain(UNITS))
    go_all(tmp_path / "one", chain(UNITS))
    keys = [{row["person_id"] for row in Store(path).read("samples").to_pylist()} for path in (run, tmp_path / "one")]
    assert keys[0] == keys[1] and len(keys[0]) == 2 * len(UNITS)


def test_one_shard_of_one_is_a_whole_call_that_refuses_half(profile: Profile, tmp_path: Path) -> None:
    run = tmp_path / "run"
    whole = Shard(profile, run, (0, 1))
    go(profile.stage("toy_crawl"), run, Options(workers=0, shard=(0, 2)))
    with pytest.raises(OthersFirst, match="toy_judge waits for other shards: toy_crawl has"):
        whole.goes("toy_judge")
    whole.goes()
    assert (run / "index.txt").is_file()


def test_drivers_at_work_keep_the_whole_run_from_being_judged(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is untried, but a shard tries failed units again: what it brings belongs into the verdicts."""
    run = tmp_path / "run"
    go_all(run, chain(UNITS)[:4])
    first = Shard(profile, run, (0, 2))
    polls: list[float] = []

    class Polled(Exception):
        pass

    def sleep(seconds: float) -> None:
        polls.append(seconds)
        raise Polled

    monkeypatch.setattr(barrier.time, "sleep", sleep)
    with driving(run, "persons", (1, 2)), pytest.raises(Polled):
        first.goes("toy_judge")
    assert polls and first.said[0].startswith("waits for other shards: process")
    assert first.goes("toy_judge") == ["toy_judge"]


class Together(toys.ToySplit):
    """Its units must meet in one process."""

    name: ClassVar[str] = "together"
    resources: ClassVar[Resources] = Resources(one_worker=True)


def test_what_one_process_must_do_is_not_divided(tmp_path: Path) -> None:
    run = tmp_path / "run"
    go(toys.ToyCrawl(units=UNITS), run)
    counts = [go(Together(), run, Options(workers=0, shard=(i, 3))).pending for i in (2, 1, 0)]
    assert counts == [0, 0, len(UNITS)]


class Optional(toys.ToyMeasure):
    """A measure whose package is missing here."""

    name: ClassVar[str] = "optional"
    writes: ClassVar[str] = "lip_syncs"
    modules: ClassVar[tuple[str, ...]] = ("no_such_package",)

    def process(self, unit: Unit) -> Any:
        raise Failure(Reason.NETWORK, "never called")


def test_a_stage_that_cannot_run_here_counts_when_other_machines_did_some_of_it(tmp_path: Path) -> None:
    run = tmp_path / "run"
    models = Registry(cache=tmp_path / "nets")
    go_all(run, chain(UNITS)[:3])
    assert barrier.lacking(Optional(), Store(run), models) == 0
    assert barrier.lacking(Optional(), Store(run), models, required=True) == 2 * len(UNITS)

    class Elsewhere(Optional):
        modules: ClassVar[tuple[str, ...]] = ()

        def process(self, unit: Unit) -> Any:
            row: Row = unit.row("persons")
            yield {name: row[name] for name in ("person_id", "clip_id", "video_id")}

    half = go(Elsewhere(), run, Options(workers=0, shard=(0, 2))).pending
    assert 0 < half < 2 * len(UNITS)
    assert barrier.lacking(Optional(), Store(run), models) == 2 * len(UNITS) - half


def test_phases_of_the_shipped_profiles_keep_every_stage_behind_what_it_needs() -> None:
    for name in [name for name in shipped() if load(name).targets]:
        profile = load(name)
        stages = profile.all_stages
        found = list(phases(profile, stages))
        assert [stage for phase in found for stage in phase.stages] == stages
        at = {stage: number for number, phase in enumerate(found) for stage in phase.stages}
        for stage in stages:
            waits = needed(profile, stages, stage)
            assert all(at[one] < at[stage] for one in waits), (stage, waits)
        assert Phase(["judge"], False) in found
        assert set(needed(profile, ["overlap"], "overlap")) >= {"annotate", "measure_pose", "measure_sound"}
        assert set(needed(profile, ["export"], "export")) >= {"judge", "annotate"}
        assert "annotate" not in needed(profile, ["measure_pose"], "measure_pose"), "the shard met it itself"
        if "split" in stages:
            assert not needed(profile, ["annotate"], "annotate"), "clips of a crawl that goes on come one by one"


def test_a_new_stage_that_reads_finer_rows_needs_them_all(profile: Profile) -> None:
    class Gathers(toys.ToySplit):
        name: ClassVar[str] = "gathers"
        writes: ClassVar[str] = "overlaps"
        reads: ClassVar[tuple[Reads, ...]] = (Reads("videos", ("width",)), Reads("persons", ("person",)))

    stage: Stage = Gathers()
    assert barrier._gathers(profile, stage, NAMES[:4])


class Page(toys.ToyJudge):
    """Looks at the whole run after everything else, and at the index that export writes at its end."""

    name: ClassVar[str] = "page"
    writes: ClassVar[str] = "reports"
    reads: ClassVar[tuple[Reads, ...]] = (Reads("samples", ("frames",)),)

    _run: Path = Path()

    def setup(self, context: Context) -> None:
        self._run = context.run

    def process(self, unit: Unit) -> Any:
        yield {"report": f"{len((self._run / 'index.txt').read_text().splitlines())} samples"}


def test_the_command_in_shards_from_end_to_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each shard in turn until it waits for the other; the page finds the index of all, which no shard could write alone."""
    toy_cli.register(monkeypatch.setitem, Page)
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "cache"))
    text = toy_cli.PROFILE.replace('"toy_export"]', '"toy_export", "page"]')
    (tmp_path / "toys.toml").write_text(f"{text}\n[stages.toy_crawl]\nunits = {list(UNITS[:4])}\n")
    about = ["--profile", str(tmp_path / "toys.toml"), "--run", str(tmp_path / "run")]

    def call(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(main, ["run", *words, *about])
        return done.exit_code, done.output

    assert call("crawl", "annotate", "filter", "--phases") == (
        0,
        "divided toy_crawl\ndivided toy_split\ndivided toy_annotate toy_measure\nwhole toy_judge\ndivided toy_export\nwhole page\n",
    )
    everything = ["crawl", "annotate", "filter", "--workers", "0", "--wait", "0", "--shard"]
    codes = []
    for _ in range(6):
        codes.append([call(*everything, f"{i}/2")[0] for i in range(2)])
        if codes[-1] == [0, 0]:
            break
    assert codes[0] == [4, 4] and codes[-1] == [0, 0], codes
    store = Store(tmp_path / "run")
    assert store.read("reports")["report"].to_pylist() == ["8 samples"] and store.outcomes("reports")[
        "attempt"
    ].to_pylist() == [1]
    assert store.outcomes("verdicts")["attempt"].to_pylist() == [1]
    code, said = call("stage:toy_split", "--shard", "0/2", "--wait", "0", "--workers", "0")
    assert code == 0 and "toy_split  nothing to do" in said and "toy_crawl" not in said
    code, said = call("crawl", "--follow", "--shard", "0/2")
    assert code == 2 and "need to see them all" in said


def test_what_was_decoded_for_all_shards_goes_with_the_last_that_reads_it(
    profile: Profile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Parts of pictures show people: they stay no longer than a stage of any shard is to come for them."""
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "cache"))
    for cls in (toys.ToyMeasure, toys.ToyExport):
        monkeypatch.setattr(cls, "reads_decoded", True)
    run = tmp_path / "run"
    kept = run / FOLDER / "files/pictures/faces/a.patches"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"a face")

    def call(shard: str, *targets: str) -> None:
        about = ["--workers", "0", "--wait", "0", "--profile", str(tmp_path / "toys.toml"), "--run", str(run)]
        done = CliRunner().invoke(main, ["run", *targets, "--shard", shard, *about])
        assert done.exit_code == 0, done.output
        there.append(kept.exists())

    there: list[bool] = []
    phases_of_all = [phase.stages for phase in phases(profile, NAMES)]
    for stages in phases_of_all[:-1]:
        for shard in ("0/2", "1/2"):
            call(shard, *(f"stage:{name}" for name in stages))
    assert phases_of_all[-1] == ["toy_export"] and all(there)
    call("1/2", "stage:toy_export")
    with driving(run, "samples", (0, 2)):
        call("1/2", "stage:toy_export")
    call("0/2", "stage:toy_measure")
    assert all(there), "the other shard is to come"
    call("0/2", "stage:toy_export")
    assert not there[-1]


def test_failures_of_what_is_not_divided_are_told_by_the_first_shard(tmp_path: Path) -> None:
    class Fails(toys.ToyJudge):
        name: ClassVar[str] = "fails"

        def process(self, unit: Unit) -> Any:
            raise ValueError("as planted")

    run = tmp_path / "run"
    go_all(run, chain(UNITS[:2])[:4])
    for i in range(3):
        go(Fails(), run, Options(workers=0, shard=(i, 3)))
    told = [bool(ending_of([(Fails(), Store(run))], run, (i, 3)).failed) for i in range(3)]
    assert told == [True, False, False]
