"""Table 2 in one command: what is made, what is told, and what the paper has beside."""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from pipeline.backends.run import BACKENDS
from pipeline.base.errors import BadUse, Interrupted, StageError, UnitsFailed
from pipeline.engine.session import Session
from pipeline.engine.within import session_for
from pipeline.registry.archives import BadModel
from pipeline.registry.download import DownloadError
from pipeline.registry.models import MissingModel, Registry
from pipeline.views.beside import Line, markdown, measured, plain, published
from stages.evaluate import Evaluate
from stages.table2 import Table2
from stages.table2.rows import FINETUNED, OTHERS, rows
from tests.pipeline.backends.fakes import checkout
from tests.stages.evaluate.conftest import filmed, nets, once, quick, studio  # noqa: F401 - fixtures
from tests.stages.evaluate.studio import Studio

HEAD = "protocol,method,source,ssim,psnr_db,csim,fid,fvd,sync_c,sync_d,keypoint_error_px\n"


class Evaluations:
    """In place of `evaluate`: notes what it is asked, and leaves figures or raises."""

    def __init__(self, run: Path, raised: Mapping[str, Exception]) -> None:
        self.run, self.raised, self.asked = run, raised, list[dict[str, Any]]()

    def __call__(self, session: Session, program: str, settings: Mapping[str, Any]) -> None:
        assert program == "evaluate"
        Evaluate(**settings)
        self.asked.append(dict(settings))
        title = settings.get("label") or f"{settings['method']} ({settings['backend']})"
        if title in self.raised:
            raise self.raised[title]
        table = self.run / "evaluation" / settings["protocol"] / "table2.csv"
        table.parent.mkdir(parents=True, exist_ok=True)
        text = table.read_text() if table.is_file() else HEAD
        table.write_text(text + f"csg405,{title},measured,0.5,20.25,,,,,,3.5\n")


@pytest.fixture
def session(tmp_path: Path) -> Session:
    return Session("demo", str(tmp_path / "run"), "", "", "", "", ())


def run(
    session: Session, monkeypatch: pytest.MonkeyPatch, raised: Mapping[str, Exception] | None = None, **given: Any
) -> Evaluations:
    made = Evaluations(session.run, raised or {})
    monkeypatch.setattr("stages.table2.run.run_within", made)
    Table2(**given).run(session)
    return made


def text_of(session: Session, protocol: str = "csg405") -> str:
    return (session.run / "evaluation" / protocol / "table2.rows.md").read_text("utf-8")


def test_every_row_of_the_paper_is_made_or_told() -> None:
    made = {row.paper for row in rows(Table2()) if row.paper}
    assert made == set(published("table2.csv", "method", "protocol", "csg405"))
    titles = [row.title for row in rows(Table2())]
    assert {f"{method} ({name})" for method in ("transfer", "ours") for name in BACKENDS} < set(titles)


def test_a_row_that_lacks_something_says_what_and_the_others_are_made(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = {
        "transfer (mimicmotion)": StageError("no checkout: `git clone x`"),
        "ours (skeleton)": StageError("no model"),
    }
    made = run(session, monkeypatch, raised, finetuned="/weights", others={"DiffTED": "/theirs"})
    text = text_of(session)
    assert "| StableAnimator | 0.50 / 0.83 | 20.25 / 24.27 | - / 0.67 |" in text
    assert "| MimicMotion | - / 0.75 |" in text and "- MimicMotion: no checkout: `git clone x`" in text
    assert "- ours (skeleton): no model" in text and "| DiffTED | 0.50 / 0.67 |" in text
    assert (
        "- S2G-MDDiffusion: run it over the references and voices" in text and "| transfer (skeleton) | 3.5 |" in text
    )
    [dagger] = [asked for asked in made.asked if asked.get("label") == FINETUNED]
    assert dagger["backend_weights"]["unet_model_name_or_path"] == "/weights/unet.pth"
    assert "| Ours† (StableAnimator) | 0.50 / 0.67 |" in text


def downloads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of nets, as they are fetched; each is a few bytes."""
    fetched: list[str] = []

    def download(self: Registry, name: str, entry: Any, target: Path, report: Any) -> None:
        fetched.append(name)
        target.write_bytes(b"weights")

    monkeypatch.setattr(Registry, "_download", download)
    return fetched


def test_a_net_without_a_known_hash_is_fetched_and_recorded_once_where_it_is_trusted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "cache"))  # before the session, which takes it from there
    session = Session("demo", str(tmp_path / "run"), "", "", "", "", ())
    fetched = downloads(monkeypatch)
    assert session.models.cache == tmp_path / "cache" / "models"
    run(session, monkeypatch)
    assert fetched == [] and session.models.optional(["deepface_identity"]) is None
    for _ in range(2):
        run(session, monkeypatch, trust=("deepface_identity",))
    digest = hashlib.sha256(b"weights").hexdigest()
    assert fetched == ["deepface_identity"] and session.models.pins() == {"deepface_identity": digest}
    assert capsys.readouterr().out.count(f"deepface_identity: trusted as it is, sha256 {digest}") == 1
    found = session.models.optional(["deepface_identity"])
    assert found is not None and found.sha256 == digest
    with pytest.raises(MissingModel, match="no net is called 'deepface'"):
        run(session, monkeypatch, trust=("deepface",))


def test_a_trusted_net_that_does_not_come_costs_its_figure_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "cache"))
    session = Session("demo", str(tmp_path / "run"), "", "", "", "", ())

    def refuse(self: Registry, name: str, entry: Any, target: Path, report: Any) -> None:
        raise DownloadError("3 tries failed, the last with: HTTP 503")

    monkeypatch.setattr(Registry, "_download", refuse)
    run(session, monkeypatch, trust=("deepface_identity",))
    assert "| transfer (skeleton) | 3.5 |" in text_of(session) and not session.models.pins()
    told = [line for line in capsys.readouterr().err.splitlines() if "3 tries failed, the last with: HTTP 503" in line]
    assert len(told) == 2 and told[0] == told[1], "where it happens, and below the table"
    assert told[0].startswith("deepface_identity did not come: ")
    assert told[0].endswith("; figures that need it are missing until it does")
    raised = {f"{method} (skeleton)": StageError("the test set is empty") for method in ("transfer", "ours")}
    with pytest.raises(BadUse, match=r"(?s)the test set is empty.*deepface_identity did not come: .*HTTP 503"):
        run(session, monkeypatch, raised, backends=("skeleton",), trust=("deepface_identity",))


def test_a_broken_record_of_hashes_ends_it_and_a_name_that_is_wrong_before_anything_is_fetched(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CSG405_CACHE", str(tmp_path / "cache"))
    session = Session("demo", str(tmp_path / "run"), "", "", "", "", ())
    fetched = downloads(monkeypatch)
    with pytest.raises(MissingModel, match="no net is called 'deepface'"):
        run(session, monkeypatch, trust=("deepface_identity", "deepface"))
    assert fetched == [], "all names are looked up first"
    session.models.cache.mkdir(parents=True)
    (session.models.cache / "pins.json").write_text("{")
    with pytest.raises(BadModel, match=r"pins\.json is broken"):
        run(session, monkeypatch, trust=("deepface_identity",))
    assert not (session.run / "evaluation").exists()


def test_pairs_that_failed_end_it_as_failed_with_the_table_written(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    raised = {"ours (stableanimator)": UnitsFailed("done, but 3 units failed")}
    with pytest.raises(UnitsFailed, match=r"1 rows failed: ours \(stableanimator\); the same command"):
        run(session, monkeypatch, raised)
    assert "- Ours (StableAnimator): done, but 3 units failed" in text_of(session)


def test_ctrl_c_ends_it_at_once(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Interrupted):
        run(session, monkeypatch, {"transfer (skeleton)": Interrupted("interrupted")})
    assert not (session.run / "evaluation").exists()


def test_what_was_made_before_a_kill_is_on_the_table_and_the_rest_is_said_to_wait(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(Interrupted):
        run(session, monkeypatch, {"ours (skeleton)": Interrupted("interrupted")}, backends=("skeleton",))
    text = text_of(session)
    assert "| transfer (skeleton) | 3.5 |" in text and "- ours (skeleton): not made yet" in text
    run(session, monkeypatch, backends=("skeleton",))
    assert "not made yet" not in text_of(session)


def test_nothing_that_can_be_made_is_an_error_that_tells_all(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    raised = {f"{method} (skeleton)": StageError("the test set is empty") for method in ("transfer", "ours")}
    with pytest.raises(BadUse, match=r"(?s)no row can be made here:.*the test set is empty"):
        run(session, monkeypatch, raised, backends=("skeleton",))


def test_another_test_set_has_its_own_rows_of_the_paper(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(session, monkeypatch, protocol="ted", source="/ted", others={"MySystem": "/theirs"})
    assert {asked["source"] for asked in made.asked} == {"/ted"}
    assert "| DiffTED | - / 0.71 |" in text_of(session, "ted") and "S2G" not in text_of(session, "ted")
    rows = [line.split(" | ")[0].strip("| ") for line in text_of(session, "ted").splitlines() if line.startswith("| ")]
    assert {"MySystem", "transfer (mimicmotion)", "ours (mimicmotion)"} <= set(rows), "whoever is scored has a row"


def test_checkouts_are_where_they_were_cloned_or_named(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    made = run(session, monkeypatch, checkouts_folder="/all", checkouts={"mimicmotion": "/own"})
    found = {asked["backend"]: asked.get("backend_dir") for asked in made.asked if "backend" in asked}
    assert found["stableanimator"] == "/all/StableAnimator" and found["echomimicv2"] == "/all/echomimic_v2"
    assert found["mimicmotion"] == "/own" and found["skeleton"] is None


def test_a_program_within_another_keeps_what_the_run_was_given(session: Session) -> None:
    given = Session("demo", str(session.run), "", "", "", "", ["machine.device=cpu", "evaluate.limit=2"])
    own = session_for(given, "evaluate", {"method": "transfer", "backend_weights": {"unet": "a 'b'.pth"}, "limit": 3})
    asked = own.profile.settings("evaluate")
    assert (asked.method, asked.limit) == ("transfer", 3)  # type: ignore[attr-defined]
    assert asked.backend_weights == {"unet": "a 'b'.pth"}  # type: ignore[attr-defined]
    assert own.profile.machine.device == "cpu" and own.run == given.run
    words = own.again("evaluate", {})
    assert words[words.index("--method") + 1] == "transfer", "as one would write it"
    assert own.within and not given.within


TEXTS = ("ours", "true", "3", "a b", "a  b", " a", "", "'a'", "[a]", "x = 1", "a#b", "2026-11-30")


@pytest.mark.parametrize("text", TEXTS)
def test_a_text_that_is_given_to_a_program_within_is_read_as_it_was(session: Session, text: str) -> None:
    own = session_for(session, "evaluate", {"backend_arguments": text})
    assert own.profile.settings("evaluate").backend_arguments == text  # type: ignore[attr-defined]


def test_a_table_without_anything_measured_has_the_papers_figures(tmp_path: Path) -> None:
    assert measured(tmp_path) == {}
    text = markdown("t", [Line("full", {}, {"fid": 62.93}, "not\nmade")])
    assert "| full | - / - | - / - | - / - | - / 62.9 |" in text and "- full: not made" in text
    assert "mouth to loudness" not in text


def test_in_a_terminal_every_row_has_its_figures_within_80_columns() -> None:
    paper = published("table2.csv", "method", "protocol", "csg405")
    command = "`git clone https://github.com/somebody/something-long`"
    why = "it is not there: " + "say where it is, " * 9 + command
    lines = [Line(name, {}, figures, why) for name, figures in paper.items()]
    lines += [Line(row.title, {"psnr_db": 101.257, "mouth_correlation": 0.875}, {}) for row in rows(Table2())]
    text = plain("t", lines)
    assert max(map(len, text.splitlines())) <= 80
    assert "S2G-MDDiffusion                -" in text and "  the paper                 0.55   14.02" in text
    assert f"{FINETUNED}\n{'-':>32}{'101.26':>8}" in text, "a long name stands above its figures"
    assert text.count(FINETUNED) == 2 and " 0.875" in text
    assert " ".join(text.split()).count(f"{', '.join(paper)}: {why}") == 1, "what all lack is said once"
    assert command in text, "a command stays in a line"


@pytest.mark.parametrize("name", OTHERS)
def test_what_a_row_says_to_set_is_read(session: Session, name: str) -> None:
    [lacks] = [row.lacks for row in rows(Table2()) if row.title == name]
    said = lacks.split("`")[1].removeprefix('SET="').removesuffix('"')
    given = Session("demo", str(session.run), "", "", "", "", [said], ["table2"], beside=True)
    assert given.profile.settings("table2").others == {name: "FOLDER"}  # type: ignore[attr-defined]


@pytest.mark.slow
def test_on_puppets_with_one_back_end(studio: Studio, tmp_path: Path) -> None:  # noqa: F811
    """A stand-in for a checkout, no model: the rows of the true motion are made, all others say what they lack."""
    folder = tmp_path / "StableAnimator"
    options = checkout(folder, "stableanimator")
    (folder / "place").write_text(json.dumps([0.08, 0.08]))
    sets = [
        "evaluate.inception=[]",
        "evaluate.i3d=[]",
        "evaluate.settings=['unpaired']",
        "evaluate.backend_size=128x128",
    ]
    asked = {
        "checkouts_folder": str(tmp_path),
        "pythons": {"stableanimator": options.python},
        "backends": ("skeleton", "stableanimator"),
    }
    session = studio.session(*sets)
    Table2(**asked).run(session)  # type: ignore[arg-type]
    text = text_of(session)
    opened = (folder / "opened").read_text()
    assert len(opened.splitlines()) == 1
    assert "| transfer (skeleton) |" in text and "- Ours (StableAnimator):" in text and "make train" in text
    assert "transfer (stableanimator)" in measured(session.run / "evaluation/csg405")
    Table2(**asked).run(session)  # type: ignore[arg-type]
    assert text_of(session) == text and (folder / "opened").read_text() == opened, "what is made stays made"
