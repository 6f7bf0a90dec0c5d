"""Evaluates as the paper's table 2 does: paired and unpaired, ours, transfer of the true motion, or any other system's videos."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from pipeline.backends.settings import BackendSettings
from pipeline.base.hashes import sha256_of
from pipeline.engine.program import Program
from pipeline.engine.settings import runtime
from pipeline.model.generation.sampling import SamplingSettings
from stages.evaluate.settings import ProtocolSettings

if TYPE_CHECKING:
    from pipeline.engine.session import Session
    from pipeline.engine.stage import Stage
    from pipeline.tables.store import Store
    from stages.evaluate.cast import Cast
    from stages.evaluate.pairs import Pair
    from stages.evaluate.render import Renditions
    from stages.evaluate.score import Scores
    from stages.evaluate.subjects import Subjects

FOLDER = "evaluation"


class Evaluate(SamplingSettings, ProtocolSettings, BackendSettings, Program):
    """Test set -> `evaluation/<protocol>/`: videos of every pair, their scores, and the table, as Markdown and CSV.

    It can be stopped and goes on. Each method, back-end and label has a folder of its own, and the true videos have one that
    all share; the table shows all that are there.
    """

    name: ClassVar[str] = "evaluate"
    version: ClassVar[int] = 1
    summary: ClassVar[str] = "score generated videos as the paper's table 2 does"
    extra: ClassVar[str] = "evaluate"
    modules: ClassVar[tuple[str, ...]] = ("skimage",)

    window_batch: int = Field(8, ge=1, description="as of `generate`", json_schema_extra=runtime())
    fit: bool = Field(
        True,
        description="fit a transferred motion to the reference's head, shoulders and hips, and a generated one where it is off",
    )
    faces: Literal["auto", "skeleton", "annotate"] = Field(
        "auto",
        description="where faces are: where the skeleton says that the video follows, or where the profile's nets find them; "
        "auto: skeleton in the true videos, annotate in all others",
    )
    fvd_frames: int = Field(16, ge=9, description="frames of a span that I3D looks at; the paper does not say")
    inception: tuple[str, ...] = Field(("inception",), description="net of FID in the model registry; () leaves it out")
    i3d: tuple[str, ...] = Field(("i3d",), description="net of FVD; () leaves it out")
    inputs_only: bool = Field(
        False,
        description="only write references, voices and pairs.csv, for other systems to work on",
        json_schema_extra=runtime(),
    )

    def run(self, session: "Session") -> None:
        import click

        from pipeline.base import files
        from pipeline.tables.opt_out import of_run
        from pipeline.tables.store import Store
        from stages.evaluate import table
        from stages.evaluate.cast import Cast, contents
        from stages.evaluate.inputs import write_inputs
        from stages.evaluate.pairs import REAL, Pair
        from stages.evaluate.subjects import SIDES

        self._check()
        place = session.run / FOLDER / self.protocol
        self._check_label(place / self._folder_name())
        people = Store(place, of_run(session.run, session.profile.opt_out))
        subjects = self._subjects(session)
        self._stage(session, subjects, place, people)
        cast = Cast(people, self._base(session))
        here = [name for name in subjects.sources() if name in cast]
        self._tell(people, set(subjects.sources()))
        pairs = self._pairs(session, cast, here)
        write_inputs(place / "inputs", cast, pairs, contents(people))
        click.echo(f"pairs, and what other systems need: {place / 'inputs'}")
        if self.inputs_only:
            return
        made = self._renditions(session, place)
        true, drawn = ("true-drawn", "the true skeletons, drawn") if made.drawn else ("true", "the true videos")
        best = made.model_copy(update={"method": "transfer" if made.drawn else "true", "fit": False})
        truth = self._measured(session, place / true, people, [Pair(REAL, name, name) for name in here], best)
        side = SIDES[self.protocol]
        table.keep(truth.run, table.summarise_true(truth, drawn, side))
        own = self._measured(session, place / self._folder_name(), people, pairs, made)
        notes = (table.DRAWN,) if made.drawn else ()
        summary = table.summarise(own, truth, self._title(), notes, side)
        table.keep(own.run, replace(summary, folder=self._given_folder()))
        rows = table.gathered(place, self.protocol)
        files.write_text(place / "table2.md", table.markdown(self.protocol, rows))
        files.write_text(place / "table2.csv", table.as_csv(self.protocol, rows))
        click.echo(table.markdown(self.protocol, rows))
        click.echo(f"table: {place / 'table2.md'}, {place / 'table2.csv'}")

    def _tell(self, people: "Store", names: set[str]) -> None:
        """Say which clips are left out and why, and how many are silent: what follows is of the others."""
        import click

        from pipeline.tables.arrow import HASH
        from stages.evaluate import table

        for line in table.failures(people, ("subjects",), names):
            click.echo(f"left out: {line}", err=True)
        known = people.live("subjects", ["audio" + HASH]).to_pylist()
        silent = [row["subject"] for row in known if row["subject"] in names and row["audio" + HASH] is None]
        if silent and self.protocol != "csg405":
            told = (
                f"{len(silent)} of {len(names)} clips have no sound, and no sound file in {self.source} has their name"
            )
            click.echo(f"{told}: {silent[0]}{', ...' if silent[1:] else ''}", err=True)

    def _measured(
        self, session: "Session", folder: Path, people: "Store", pairs: "list[Pair]", renditions: "Renditions"
    ) -> "Store":
        """The tables of these pairs: listed, filmed, scored."""
        from pipeline.tables.store import Store
        from stages.evaluate.cast import contents
        from stages.evaluate.pairs import Pairs

        store = Store(folder)
        given = self.folder if renditions.method == "folder" else ""
        self._stage(session, Pairs(wanted=tuple(pairs), contents=contents(people), folder=given), folder, store)
        self._stage(session, renditions, folder, store)
        self._stage(session, self._scores(session, folder.parent, renditions), folder, store)
        return store

    def needed_modules(self) -> tuple[str, ...]:
        return (*self.modules, *(("torch", "diffusers", "safetensors") if self.method == "ours" else ()))

    def _check(self) -> None:
        from pipeline.model.generation.inputs import BadInput

        if self.method == "folder" and not Path(self.folder or "-").is_dir():
            raise BadInput(
                f"--folder {self.folder or '(not given)'}: name the folder with the videos that are to be scored"
            )
        if self.protocol != "csg405" and not Path(self.source or "-").is_dir():
            raise BadInput(
                f"--source {self.source or '(not given)'}: name the folder with the files of {self.protocol}"
            )
        if self.pairs and not Path(self.pairs).is_file():
            raise BadInput(f"--pairs {self.pairs}: there is no such file")
        if self.method != "folder" and not self.inputs_only:
            from pipeline.backends.run import check

            check(self.backend, self.options())  # before the true videos are scored for hours

    def _check_label(self, folder: Path) -> None:
        """Refuse a folder of videos that would take the place of another one of the same name, unless a label says so."""
        from pipeline.model.generation.inputs import BadInput
        from stages.evaluate import table

        if self.label or not (folder / table.SUMMARY).is_file():
            return
        if (known := table.kept(folder).folder) not in ("", self._given_folder()):
            raise BadInput(
                f"--folder {self.folder}: the table's videos called {self._title()!r} are those of {known}. Give these a name "
                "of their own with --label, or the same one if they take their place"
            )

    def _given_folder(self) -> str:
        return str(Path(self.folder).resolve()) if self.method == "folder" else ""

    def _stage(self, session: "Session", stage: "Stage", folder: Path, store: "Store") -> None:
        from pipeline.engine.console import options_of, run_shown

        run_shown(stage, folder, session.models, options_of(session.profile), store)

    def _subjects(self, session: "Session") -> "Subjects":
        from stages.evaluate.subjects import Subjects

        nets = session.profile.settings("annotate")
        return Subjects(
            protocol=self.protocol,
            detector=() if self.protocol == "csg405" else nets.detector,  # type: ignore[attr-defined]
            pose=() if self.protocol == "csg405" else nets.pose,  # type: ignore[attr-defined]
            pose_backend=nets.backend,  # type: ignore[attr-defined]
            split=self.split,
            frames_fps=self.frames_fps,
            limit=self.limit,
            source=str(self._source(session)),
            base=str(self._base(session)),
        )

    def _source(self, session: "Session") -> Path:
        return Path(self.source) if self.source else session.run / "shards"

    def _base(self, session: "Session") -> Path:
        """The folder that the test set's videos are relative to: the run that its shards are of."""
        return self._source(session).absolute().parent

    def _pairs(self, session: "Session", cast: "Cast", here: list[str]) -> "list[Pair]":
        import click

        from pipeline.model.generation.inputs import BadInput
        from stages.evaluate.pairs import PAIRED, UNPAIRED, listed, paired, unpaired
        from stages.evaluate.subjects import CLIPS

        if not here:
            raise BadInput("the test set is empty: nothing to evaluate. `csg405 status` tells what became of its clips")
        if len(here) != CLIPS[self.protocol]:
            click.echo(f"{len(here)} clips; the paper's test set has {CLIPS[self.protocol]}", err=True)
        speakers = {name: cast.light(name)["speaker"] for name in here}
        if self.pairs:
            return listed(Path(self.pairs), here, self._aliases(session))
        met = unpaired(speakers, self.pairs_seed) if UNPAIRED in self.settings else []
        if UNPAIRED in self.settings and len(met) < len(here):
            click.echo(
                f"{len(here) - len(met)} of {len(here)} clips meet no other speaker: one speaker has more than half",
                err=True,
            )
        return [*(paired(here) if PAIRED in self.settings else []), *met]

    def _aliases(self, session: "Session") -> dict[str, str]:
        """The release's names of clips, where the run was made from its manifest: {name: subject}."""
        known = session.store.read("clips", ["clip_id", "manifest_name"]).to_pylist()
        persons = session.store.read("samples", ["clip_id", "person_id"]).to_pylist()
        names = {row["clip_id"]: row["manifest_name"] for row in known if row["manifest_name"]}
        return {names[row["clip_id"]]: row["person_id"] for row in persons if row["clip_id"] in names}

    def _renditions(self, session: "Session", place: Path) -> "Renditions":
        from stages.evaluate.render import Renditions

        model, digest = "", ""
        if self.method == "ours":
            from pipeline.model.training.checkpoint import weights_of

            weights = weights_of(Path(self.model) if self.model else session.run / "training" / "model")
            model, digest = str(weights), sha256_of(weights)
        shared = (*BackendSettings.model_fields, *SamplingSettings.model_fields, "method", "fit")
        same = {name: getattr(self, name) for name in shared}
        return Renditions(
            **same,
            model=model,
            model_sha256=digest,
            window_batch=self.window_batch,
            cast=str(place),
            films=str(self._base(session)),
            folder=self.folder,
        )

    def _scores(self, session: "Session", place: Path, renditions: "Renditions") -> "Scores":
        from stages.evaluate.score import NETS, Scores

        annotate = not renditions.drawn and (
            self.faces == "annotate" or (self.faces == "auto" and renditions.method != "true")
        )
        choices: Mapping[str, Any] = {
            "identity": session.profile.settings("attributes").identity,  # type: ignore[attr-defined]
            "syncnet": session.profile.settings("lip_sync").net,  # type: ignore[attr-defined]
            "inception": self.inception,
            "i3d": self.i3d,
        }
        here, lacking = _nets({name: choices[name] for name in NETS}, session)
        nets = session.profile.settings("annotate")
        return Scores(
            drawn=renditions.drawn,
            nets=here,
            choices=choices,
            lacking=lacking,
            annotate=annotate,
            footage="theatre" if session.profile.name == "demo" else "",  # it has no other
            detector=nets.detector if annotate else (),  # type: ignore[attr-defined]
            pose=nets.pose if annotate else (),  # type: ignore[attr-defined]
            pose_backend=nets.backend,  # type: ignore[attr-defined]
            fvd_frames=self.fvd_frames,
            cast=str(place),
            films=str(self._base(session)),
        )

    def _folder_name(self) -> str:
        """Of this method's own tables and videos."""
        from stages.evaluate.pairs import safe

        named = self.label or Path(self._given_folder()).name
        parts = [self.method] if self.method == "folder" else [self.method, self.backend]
        return "-".join([*parts, safe(named)] if named else parts)

    def _title(self) -> str:
        named = Path(self._given_folder()).name or f"{self.method} ({self.backend})"
        return self.label or named


def _nets(choices: Mapping[str, tuple[str, ...]], session: "Session") -> tuple[dict[str, str], dict[str, str]]:
    """Of the nets of metrics, those that are here with their hashes, and why the others are not."""
    from pipeline.engine.runner import importable

    here: dict[str, str] = {}
    lacking: dict[str, str] = {}
    for name, names in choices.items():
        found = session.models.optional(names) if names else None
        if found is None:
            lacking[name] = session.models.advice(names) if names else "left out by the settings"
        elif found.path.suffix in (".pt", ".pth") and not importable("torch"):
            lacking[name] = f"{found.path.name} needs torch: pip install torch"
        else:
            here[name] = found.sha256
    return here, lacking
