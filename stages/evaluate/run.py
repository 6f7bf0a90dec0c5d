"""An evaluation from end to end: subjects, pairs, videos, scores, tables."""

import time
from dataclasses import dataclass, replace
from pathlib import Path

import click

from pipeline.backends.run import check
from pipeline.base import files
from pipeline.engine.console import options_of, run_shown
from pipeline.engine.devices import shard_of
from pipeline.engine.endings import ending_of
from pipeline.engine.executors.expected import expect
from pipeline.engine.left_out import LeftOut
from pipeline.engine.session import Session
from pipeline.engine.stage import Stage
from pipeline.engine.upgrades import settle_stores
from pipeline.model.generation.inputs import BadInput
from pipeline.tables import calls
from pipeline.tables.arrow import HASH
from pipeline.tables.lock import Occupied
from pipeline.tables.run_folder import EVALUATE
from pipeline.tables.store import Store
from stages.evaluate import table
from stages.evaluate.cast import Cast, contents
from stages.evaluate.inputs import write_inputs
from stages.evaluate.pairs import PAIRED, REAL, UNPAIRED, Pair, Pairs, listed, paired, safe, unpaired
from stages.evaluate.protocols import CLIPS, SIDES
from stages.evaluate.renditions import Renditions
from stages.evaluate.scores import Scores
from stages.evaluate.settings import EvaluateSettings
from stages.evaluate.stages import Stages

FOLDER = "evaluation"
LOOK_SECONDS = 1.0  # at a shard that does what all need


@dataclass(frozen=True)
class _Films:
    """The videos of an evaluation.

    Attributes:
        own: makes the method's.
        best: makes those that are the truth.
        made, truth: the tables of both.
        stages: what makes and scores them, each with its tables.
    """

    own: Renditions
    best: Renditions
    made: Store
    truth: Store
    stages: tuple[tuple[Stage, Store], ...]


def run(settings: EvaluateSettings, session: Session, *, redo: bool, keep: bool) -> None:
    """Run an evaluation, or go on with it; `redo` and `keep` as for `csg405 run`."""
    Evaluation(settings, session).run(redo=redo, keep=keep)


class _OthersLeftOut(Exception):
    """A list of opt-outs or a ledger of takedowns changed while a stage was at work; the message says which."""


class Evaluation:
    """Runs it, or goes on with it.

    Args:
        settings: of the evaluation.
        session: whose run and nets it takes.
    """

    def __init__(self, settings: EvaluateSettings, session: Session) -> None:
        self._settings, self._session = settings, session
        self._stages = Stages(settings, session)
        self._shard = shard_of(settings.shard)
        self._ran: list[tuple[Stage, Store]] = []
        self._lists = LeftOut(session.run, session.profile.opt_out, lambda: ())

    def run(self, *, redo: bool = False, keep: bool = False) -> None:
        """Write the inputs and, unless only those are wanted, the videos, scores and tables.

        Where a list of opt-outs changes meanwhile it begins again after the stage that is at work: other people make other pairs.
        What is made of the pairs that stay is not made again.

        Args:
            redo, keep: what is to become of results of older versions; asked for before anything starts.
        """
        while True:
            try:
                self._whole(redo=redo, keep=keep)
                return
            except _OthersLeftOut as changed:
                click.echo(f"{changed} changed: the test set is looked at again, without who is left out now", err=True)
                self._ran.clear()

    def _whole(self, *, redo: bool, keep: bool) -> None:
        settings = self._settings
        self._check()
        place = self._session.run / FOLDER / settings.protocol
        self._check_label(place / self._folder_name())
        people = Store(place, self._lists.who)
        subjects = self._stages.subjects()
        films = None if settings.inputs_only else self._films(place)
        stages = [(subjects, people), *(films.stages if films else ())]
        expect(stage for stage, _ in stages)
        for newer in settle_stores(stages, self._session.models, redo=redo, keep=keep):
            click.echo(f"{newer.stage}: {newer}", err=True)
        for folder in (place, *(store.run for _, store in stages[1:])):
            calls.keep(folder, self._call())
        self._stage(subjects, place, people)
        cast = Cast(people, self._stages.base)
        names = list(subjects.sources())
        here = [name for name in names if name in cast]
        self._tell(people, set(names))
        pairs = self._pairs(cast, here)
        if not (self._shard and self._shard[0]):  # shards would write the same files
            write_inputs(place / "inputs", cast, pairs, contents(people))
            click.echo(f"pairs, and what other systems need: {place / 'inputs'}")
        if films:
            self._score(place, films, people, pairs, here)

    def _call(self) -> list[str]:
        """The options of this call, with paths that hold in every folder; a shard is no call of its own."""
        given = {name: getattr(self._settings, name) for name in ("source", "pairs", "folder", "model")}
        options = self._session.again("evaluate", {name: _anywhere(path) for name, path in given.items() if path})
        if "--shard" in options:
            at = options.index("--shard")
            options = options[:at] + options[at + 2 :]
        return options

    def _score(self, place: Path, films: _Films, people: Store, pairs: list[Pair], here: list[str]) -> None:
        """Make and score the videos, and write the tables."""
        settings, drawn = self._settings, films.own.drawn
        named = "the true skeletons, drawn" if drawn else "the true videos"
        self._measured(films.truth, people, [Pair(REAL, name, name) for name in here], films.best)
        if self._shard:
            self._measured(films.made, people, pairs, films.own)
            self._ended("the same command tries them again")
            click.echo("when all shards are done, the same command without --shard writes the table")
            return
        side = SIDES[settings.protocol]
        table.keep(films.truth.run, table.summarise_true(films.truth, named, side))
        self._measured(films.made, people, pairs, films.own)
        notes = (table.DRAWN,) if drawn else ()
        summary = table.summarise(films.made, films.truth, self._title(), notes, side)
        table.keep(films.made.run, replace(summary, folder=self._own_videos()))
        rows, left_out = table.gathered(place, settings.protocol), self._left_out(place)
        text = table.markdown(settings.protocol, rows, left_out)
        files.write_text(place / "table2.md", text)
        files.write_text(place / "table2.csv", table.as_csv(settings.protocol, rows))
        if not self._session.within:
            click.echo(text)
            click.echo(f"table: {place / 'table2.md'}, {place / 'table2.csv'}")
        self._ended("the table is of the others; the same command tries them again")

    def _ended(self, advice: str) -> None:
        ended = ending_of(self._ran, self._session.run)
        ended.advice = advice
        ended.raise_failed()
        if not self._session.within:
            click.echo(ended.line())

    def _left_out(self, place: Path) -> list[str]:
        """Methods that the table lacks, why, and how they were called."""
        home = self._session.run
        return [
            f"{name} is left out: {why}; `{calls.repeated(EVALUATE, place / name, home)}` makes it"
            for name, why in table.lacking(place).items()
        ]

    def _films(self, place: Path) -> _Films:
        own = self._stages.renditions(place)
        best = own.model_copy(update={"method": "transfer" if own.drawn else "true", "fit": False})
        truth = Store(place / ("true-drawn" if own.drawn else "true"))
        made = Store(place / self._folder_name())
        scores = tuple((self._stages.scores(place, films), store) for films, store in ((best, truth), (own, made)))
        return _Films(own, best, made, truth, ((best, truth), (own, made), *scores))

    def _tell(self, people: Store, names: set[str]) -> None:
        """Say which clips are left out and why, and how many are silent: what follows is of the others."""
        for line in table.failures(people, ("subjects",), names):
            click.echo(f"left out: {line}", err=True)
        known = people.live("subjects", ["audio" + HASH]).to_pylist()
        silent = [row["subject"] for row in known if row["subject"] in names and row["audio" + HASH] is None]
        if silent and self._settings.protocol != "csg405":
            lacking = f"no sound, and no sound file in {self._settings.source} has their name"
            first = f"{silent[0]}{', ...' if silent[1:] else ''}"
            click.echo(f"{len(silent)} of {len(names)} clips have {lacking}: {first}", err=True)

    def _measured(self, store: Store, people: Store, pairs: list[Pair], renditions: Renditions) -> None:
        """Fill the tables of these pairs: listed, filmed, scored."""
        videos = self._settings.folder if renditions.method == "folder" else ""
        self._stage(Pairs(wanted=tuple(pairs), contents=contents(people), folder=videos), store.run, store)
        self._stage(renditions, store.run, store)
        self._stage(self._stages.scores(store.run.parent, renditions), store.run, store)

    def _check(self) -> None:
        settings = self._settings
        if settings.method == "folder" and not Path(settings.folder or "-").is_dir():
            raise BadInput(
                f"--folder {settings.folder or '(not given)'}: name the folder with the videos that are to be scored"
            )
        if settings.protocol != "csg405" and not Path(settings.source or "-").is_dir():
            raise BadInput(
                f"--source {settings.source or '(not given)'}: name the folder with the files of {settings.protocol}"
            )
        if settings.pairs and not Path(settings.pairs).is_file():
            raise BadInput(f"--pairs {settings.pairs}: there is no such file")
        if settings.gpus and settings.backend_gpu:
            raise BadInput(
                f"--gpus {','.join(settings.gpus)} gives each worker a GPU of its own, so --backend-gpu {settings.backend_gpu} "
                "means nothing: leave one out"
            )
        if settings.method != "folder" and not settings.inputs_only:
            check(settings.backend, settings.options())  # before the true videos are scored for hours

    def _check_label(self, folder: Path) -> None:
        """Refuse a folder of videos that would take the place of another one of the same name, unless a label says so."""
        settings = self._settings
        known = "" if settings.label else table.videos_of(folder)
        if known not in ("", self._own_videos()):
            raise BadInput(
                f"--folder {settings.folder}: the table's videos called {self._title()!r} are those of {known}. "
                "Give these a name of their own with --label, or the same one if they take their place"
            )

    def _own_videos(self) -> str:
        return str(Path(self._settings.folder).resolve()) if self._settings.method == "folder" else ""

    def _stage(self, stage: Stage, folder: Path, store: Store) -> None:
        """Run a stage; of what all shards need, one does it, and the others wait. Raises _OthersLeftOut before it begins."""
        known = self._lists.who
        if (changed := self._lists.look()) and self._lists.who != known:
            raise _OthersLeftOut(", ".join(changed))
        own = self._settings.shard if isinstance(stage, Renditions | Scores) else ""
        options, told = options_of(self._session.profile, self._workers(stage), own), False
        while True:
            try:
                run_shown(stage, folder, self._session.models, options, store)
                break
            except Occupied as occupied:
                if own or not self._shard:
                    raise
                if not told:
                    click.echo(f"waiting: {occupied}", err=True)
                told = True
                time.sleep(LOOK_SECONDS)
        self._ran.append((stage, store))

    def _workers(self, stage: Stage) -> int | None:
        """Worker processes: one a GPU where GPUs are named; one back-end at a time where none are."""
        if self._settings.gpus and stage.resources.gpu:
            return len(self._settings.gpus)
        return 1 if isinstance(stage, Renditions) else None

    def _pairs(self, cast: Cast, here: list[str]) -> list[Pair]:
        settings = self._settings
        if not here:
            raise BadInput("the test set is empty: nothing to evaluate. `csg405 status` tells what became of its clips")
        if len(here) != CLIPS[settings.protocol]:
            click.echo(
                f"{len(here)} clip{'s' * (len(here) > 1)}; the paper's test set has {CLIPS[settings.protocol]}",
                err=True,
            )
        speakers = {name: cast.light(name)["speaker"] for name in here}
        if settings.pairs:
            return listed(Path(settings.pairs), here, self._aliases())
        met = unpaired(speakers, settings.pairs_seed) if UNPAIRED in settings.settings else []
        if UNPAIRED in settings.settings and len(met) < len(here):
            click.echo(
                f"{len(here) - len(met)} of {len(here)} clips meet no other speaker: one speaker has more than half",
                err=True,
            )
        return [*(paired(here) if PAIRED in settings.settings else []), *met]

    def _aliases(self) -> dict[str, str]:
        """The release's names of clips, where the run was made from its manifest: {name: subject}."""
        known = self._session.store.read("clips", ["clip_id", "manifest_name"]).to_pylist()
        persons = self._session.store.read("samples", ["clip_id", "person_id"]).to_pylist()
        names = {row["clip_id"]: row["manifest_name"] for row in known if row["manifest_name"]}
        return {names[row["clip_id"]]: row["person_id"] for row in persons if row["clip_id"] in names}

    def _folder_name(self) -> str:
        """Of this method's own tables and videos."""
        settings = self._settings
        named = settings.label or Path(self._own_videos()).name
        parts = [settings.method] if settings.method == "folder" else [settings.method, settings.backend]
        return "-".join([*parts, safe(named)] if named else parts)

    def _title(self) -> str:
        settings = self._settings
        named = Path(self._own_videos()).name or f"{settings.method} ({settings.backend})"
        return settings.label or named


def _anywhere(path: str) -> str:
    """A path that holds in every folder, where something is there: `model` may also be a name."""
    return str(Path(path).absolute()) if Path(path).exists() else path
