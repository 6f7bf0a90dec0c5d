"""An evaluation from end to end: subjects, pairs, videos, scores, tables."""

from dataclasses import replace
from pathlib import Path

import click

from pipeline.backends.run import check
from pipeline.base import files
from pipeline.engine.console import options_of, run_shown
from pipeline.engine.session import Session
from pipeline.engine.stage import Stage
from pipeline.model.generation.given import BadInput
from pipeline.tables.opt_out import of_run
from pipeline.tables.table import HASH, Store
from stages.evaluate import table
from stages.evaluate.cast import Cast, contents
from stages.evaluate.inputs import write_inputs
from stages.evaluate.pairs import PAIRED, REAL, UNPAIRED, Pair, Pairs, listed, paired, safe, unpaired
from stages.evaluate.protocols import CLIPS, SIDES
from stages.evaluate.render import Renditions
from stages.evaluate.settings import EvaluateSettings
from stages.evaluate.stages import Stages
from stages.evaluate.subjects import CLIPS, SIDES

FOLDER = "evaluation"


class Evaluation:
    """Runs it, or goes on with it.

    Args:
        settings: of the evaluation.
        session: whose run and nets it takes.
    """

    def __init__(self, settings: EvaluateSettings, session: Session) -> None:
        self._settings, self._session = settings, session
        self._stages = Stages(settings, session)

    def run(self) -> None:
        """Write the inputs and, unless only those are wanted, the videos, scores and tables."""
        self._check()
        place = self._session.run / FOLDER / self._settings.protocol
        self._check_label(place / self._folder_name())
        people = Store(place, of_run(self._session.run, self._session.profile.opt_out))
        subjects = self._stages.subjects()
        self._stage(subjects, place, people)
        cast = Cast(people, self._stages.base)
        here = [name for name in subjects.sources() if name in cast]
        self._tell(people, set(subjects.sources()))
        pairs = self._pairs(cast, here)
        write_inputs(place / "inputs", cast, pairs, contents(people))
        click.echo(f"pairs, and what other systems need: {place / 'inputs'}")
        if self._settings.inputs_only:
            return
        made = self._stages.renditions(place)
        true, drawn = ("true-drawn", "the true skeletons, drawn") if made.drawn else ("true", "the true videos")
        best = made.model_copy(update={"method": "transfer" if made.drawn else "true", "fit": False})
        truth = self._measured(place / true, people, [Pair(REAL, name, name) for name in here], best)
        side = SIDES[self._settings.protocol]
        table.keep(truth.run, table.summarise_true(truth, drawn, side))
        own = self._measured(place / self._folder_name(), people, pairs, made)
        notes = (table.DRAWN,) if made.drawn else ()
        summary = table.summarise(own, truth, self._title(), notes, side)
        table.keep(own.run, replace(summary, folder=self._given_folder()))
        rows = table.gathered(place, self._settings.protocol)
        files.write_text(place / "table2.md", table.markdown(self._settings.protocol, rows))
        files.write_text(place / "table2.csv", table.as_csv(self._settings.protocol, rows))
        click.echo(table.markdown(self._settings.protocol, rows))
        click.echo(f"table: {place / 'table2.md'}, {place / 'table2.csv'}")

    def _tell(self, people: Store, names: set[str]) -> None:
        """Say which clips are left out and why, and how many are silent: what follows is of the others."""
        for line in table.failures(people, ("subjects",), names):
            click.echo(f"left out: {line}", err=True)
        known = people.live("subjects", ["audio" + HASH]).to_pylist()
        silent = [row["subject"] for row in known if row["subject"] in names and row["audio" + HASH] is None]
        if silent and self._settings.protocol != "csg405":
            line = f"{len(silent)} of {len(names)} clips have no sound, and no sound file in {self._settings.source} has their name"
            click.echo(f"{line}: {silent[0]}{', ...' if silent[1:] else ''}", err=True)

    def _measured(self, folder: Path, people: Store, pairs: list[Pair], renditions: Renditions) -> Store:
        """The tables of these pairs: listed, filmed, scored."""
        store = Store(folder)
        given = self._settings.folder if renditions.method == "folder" else ""
        self._stage(Pairs(wanted=tuple(pairs), contents=contents(people), folder=given), folder, store)
        self._stage(renditions, folder, store)
        self._stage(self._stages.scores(folder.parent, renditions), folder, store)
        return store

    def _check(self) -> None:
        if self._settings.method == "folder" and not Path(self._settings.folder or "-").is_dir():
            raise BadInput(
                f"--folder {self._settings.folder or '(not given)'}: name the folder with the videos that are to be scored"
            )
        if self._settings.protocol != "csg405" and not Path(self._settings.source or "-").is_dir():
            raise BadInput(
                f"--source {self._settings.source or '(not given)'}: name the folder with the files of {self._settings.protocol}"
            )
        if self._settings.pairs and not Path(self._settings.pairs).is_file():
            raise BadInput(f"--pairs {self._settings.pairs}: there is no such file")
        if self._settings.method != "folder" and not self._settings.inputs_only:
            check(self._settings.backend, self._settings.options())  # before the true videos are scored for hours

    def _check_label(self, folder: Path) -> None:
        """Refuse a folder of videos that would take the place of another one of the same name, unless a label says so."""
        if self._settings.label or not (folder / table.SUMMARY).is_file():
            return
        if (known := table.kept(folder).folder) not in ("", self._given_folder()):
            raise BadInput(
                f"--folder {self._settings.folder}: the table's videos called {self._title()!r} are those of {known}. Give these a name "
                "of their own with --label, or the same one if they take their place"
            )

    def _given_folder(self) -> str:
        return str(Path(self._settings.folder).resolve()) if self._settings.method == "folder" else ""

    def _stage(self, stage: Stage, folder: Path, store: Store) -> None:
        run_shown(stage, folder, self._session.models, options_of(self._session.profile), store)

    def _pairs(self, cast: Cast, here: list[str]) -> list[Pair]:
        if not here:
            raise BadInput("the test set is empty: nothing to evaluate. `csg405 status` tells what became of its clips")
        if len(here) != CLIPS[self._settings.protocol]:
            click.echo(f"{len(here)} clips; the paper's test set has {CLIPS[self._settings.protocol]}", err=True)
        speakers = {name: cast.light(name)["speaker"] for name in here}
        if self._settings.pairs:
            return listed(Path(self._settings.pairs), here, self._aliases())
        met = unpaired(speakers, self._settings.pairs_seed) if UNPAIRED in self._settings.settings else []
        if UNPAIRED in self._settings.settings and len(met) < len(here):
            click.echo(
                f"{len(here) - len(met)} of {len(here)} clips meet no other speaker: one speaker has more than half",
                err=True,
            )
        return [*(paired(here) if PAIRED in self._settings.settings else []), *met]

    def _aliases(self) -> dict[str, str]:
        """The release's names of clips, where the run was made from its manifest: {name: subject}."""
        known = self._session.store.read("clips", ["clip_id", "manifest_name"]).to_pylist()
        persons = self._session.store.read("samples", ["clip_id", "person_id"]).to_pylist()
        names = {row["clip_id"]: row["manifest_name"] for row in known if row["manifest_name"]}
        return {names[row["clip_id"]]: row["person_id"] for row in persons if row["clip_id"] in names}

    def _folder_name(self) -> str:
        """Of this method's own tables and videos."""
        named = self._settings.label or Path(self._given_folder()).name
        parts = (
            [self._settings.method]
            if self._settings.method == "folder"
            else [self._settings.method, self._settings.backend]
        )
        return "-".join([*parts, safe(named)] if named else parts)

    def _title(self) -> str:
        named = Path(self._given_folder()).name or f"{self._settings.method} ({self._settings.backend})"
        return self._settings.label or named
