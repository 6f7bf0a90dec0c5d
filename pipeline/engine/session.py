"""A session: the profile, run folder and nets of one command."""

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base.damage import Damaged
from pipeline.base.errors import BadUse, StageError
from pipeline.engine.chosen import (
    ALL_OF_IT,
    KEPT,
    Chosen,
    assigned,
    chosen_of,
    guessed,
    kept_of,
    placed,
    settings_of,
    staying_of,
)
from pipeline.engine.devices import device_of
from pipeline.engine.left_out import LeftOut, put
from pipeline.engine.lookup import settings_class
from pipeline.engine.profile import Profile, ProfileError, is_stage, load, shipped
from pipeline.registry.models import Registry
from pipeline.sources.local.several import each, joined
from pipeline.sources.manifest import form_of
from pipeline.storage import storage_of
from pipeline.storage.chosen import choose
from pipeline.tables.opt_out_seen import forgotten, remember
from pipeline.tables.store import Store

if TYPE_CHECKING:
    from pipeline.tables.opt_out import OptOut


def choose_profile(profile: str, input: str, manifest: str) -> str:
    """The profile to use when the user named none: the demo only when there is nothing else to work on."""
    if profile:
        if profile == "demo" and (input or manifest):
            raise BadUse("profile demo brings its own footage and its nets refuse any other: use PROFILE=folder")
        return profile
    if manifest:
        return "rebuild" if form_of(Path(manifest).expanduser()) else "folder"
    return "folder" if input else "demo"


@dataclass(frozen=True)
class _Given:
    """What a command line says, "" and () where it says nothing."""

    profile: str
    run: str
    input: str
    manifest: str
    poses: str
    models: str
    sets: Sequence[str]
    settings: str
    reset: Sequence[str]

    def check(self) -> None:
        """Raise BadUse for what cannot be, now and not after a week of crawling."""
        if self.input and self.manifest:
            raise BadUse("give INPUT or MANIFEST, not both: each says what to crawl")
        for option, given in (("MANIFEST", self.manifest), ("POSES", self.poses)):
            if given and not Path(given).expanduser().is_file():
                raise BadUse(f"{option}={given}: there is no such file")
        if self.models and not Path(self.models).expanduser().is_dir():
            raise BadUse(f"MODELS={self.models} is not a folder")


class Session:
    """A profile, a run folder and the nets: as the command line gave them, else as the run remembers them, else the profile.

    Args:
        profile, run_folder, input_, manifest, poses, models, sets: of the command line.
        targets: what is to be run; a manifest also reaches stages among them that are not in the profile.
        settings: a TOML file of settings; `sets` go before it.
        reset: what the run is to forget: settings, stages, `profile`, `models` and the like, or `all`.
        beside: for a program, which may work on a run of another profile and changes nothing that the run remembers.

    Raises:
        BadUse: something of it makes no sense.
    """

    def __init__(
        self,
        profile: str,
        run_folder: str,
        input_: str,
        manifest: str,
        poses: str,
        models: str,
        sets: Sequence[str],
        targets: Sequence[str] = (),
        settings: str = "",
        reset: Sequence[str] = (),
        *,
        beside: bool = False,
    ) -> None:
        given = _Given(profile, run_folder, input_, manifest, poses, models, sets, settings, reset)
        given.check()
        self.notes: list[str] = []  # to be told before anything is run
        self.within = False  # whether another program runs this one, and tells of it at the end
        self.run = Path(run_folder) if run_folder else _usual_run(given)
        self.before = self._remembered(given)
        reference = self._reference(given, beside)
        self._targets = targets
        try:
            self.choose(replace(_with(self.before.without(reset), given), profile=reference))
        except ProfileError as error:
            raise ProfileError(f"{error}{self._advice(str(error), given)}") from error
        if not beside:
            self._stay(reset)
        self.models = Registry(self._models(), device=device_of(self.profile))

    def choose(self, chosen: Chosen) -> None:
        """Go on with other choices; `keep_profile` writes them. Raises ProfileError for one that makes no sense."""
        self.profile: Profile = _loaded(chosen, self._targets)
        self.chosen = replace(chosen, name=self.profile.name)

    def _stay(self, reset: Sequence[str]) -> None:
        """Go on with what may not move within a run, such as its splits; it is told once, and then counts as chosen."""
        found = staying_of(self.run, self.profile, self.chosen)
        found = {key: value for key, value in found.items() if not {ALL_OF_IT, key, key.partition(".")[0]} & set(reset)}
        if found:
            told = ", ".join(f"{key}={value}" for key, value in found.items())
            self.notes.append(
                f"this run stays with {told}, which the profile says otherwise now; --reset KEY takes that"
            )
            self.choose(replace(self.chosen, sets={**self.chosen.sets, **found}))

    def _remembered(self, given: _Given) -> Chosen:
        """What was chosen for the run before this command."""
        if found := chosen_of(self.run):
            return found
        kept = kept_of(self.run)
        name = str(kept.get("name", ""))
        if not kept:
            return Chosen()
        reference = given.profile if given.profile and load(given.profile).name == name else name
        if reference == name and name not in shipped():
            return Chosen(str((self.run / KEPT).absolute()), name)
        found = guessed(self.run, load(reference), _absolute(reference))
        if found.sets:
            told = ", ".join(f"{key}={value}" for key, value in found.sets.items())
            self.notes.append(
                f"this run was made before choices were kept apart; what differs from profile {name} counts as chosen: {told}; "
                "--reset KEY goes back"
            )
        return found

    def _reference(self, given: _Given, beside: bool) -> str:
        """The profile to load: a name, or the path of a file."""
        known = self.before.profile
        if known.endswith(".toml") and not Path(known).is_file() and (self.run / KEPT).is_file():
            self.notes.append(f"{known} is not there any more: going on with the run's own copy, {KEPT}")
            known = str((self.run / KEPT).absolute())
        wanted = given.profile or known or os.environ.get("CSG405_PROFILE", "")
        reference = choose_profile(wanted, given.input, given.manifest)
        if given.profile and known and not beside and not {"profile", ALL_OF_IT} & set(given.reset):
            name = load(reference).name
            if name != self.before.name:
                raise BadUse(
                    f"{self.run} is a run of profile {self.before.name}, not {name}: name another RUN, or go on with {name} here "
                    "by --reset profile (make: RESET=profile)"
                )
        return known if _same_file(reference, self.run / KEPT) and known else _absolute(reference)

    def _advice(self, trouble: str, given: _Given) -> str:
        """What to do about a setting that is refused though this command does not give it."""
        asked = {assigned(text)[0] for text in given.sets}
        stale = [key for key in self.before.sets if key not in asked and trouble.startswith(f"--set {key}=")]
        return f"; {self.run} remembers it, --reset {stale[0]} forgets it" if stale else ""

    def _models(self) -> Path | None:
        folder = self.chosen.models or os.environ.get("CSG405_MODELS", "")
        if self.chosen.models and not Path(folder).is_dir():
            raise BadUse(f"{self.run} remembers MODELS={folder}, which is no folder: name another, or --reset models")
        return Path(folder) if folder else None

    @cached_property
    def _left_out(self) -> LeftOut:
        return LeftOut(self.run, self.profile.opt_out, self._given)

    @property
    def opt_out(self) -> "OptOut":
        """Who is left out, by the lists as they were when last looked at, and by the ledgers of takedowns beside what is crawled.

        Raises OptOutError, TakedownError for one that cannot be used.
        """
        return self._left_out.who

    def look_at_lists(self) -> str:
        """Leave out from here on who came onto a list or a ledger since, as a command does at its beginning.

        Returns: what is to be told of it, "" for nothing. Raises as `opt_out` and `store` do.
        """
        store, before = self.store, self.opt_out
        changed = self._left_out.look()
        if self.opt_out == before:
            return ""
        self._check_lists()
        remember(self.run, self.opt_out, self._given())
        return put(store, self.opt_out, changed)

    def _given(self) -> list[Path]:
        """What is crawled, or a manifest, as far as these are files or folders: beside them may lie a ledger of takedowns."""
        given = [self.chosen.input, self.chosen.manifest, str(self.profile.stages.get("crawl", {}).get("input", ""))]
        places = [Path(one).expanduser() for text in given for one in each(text) if one]
        return [place for place in dict.fromkeys(places) if place.exists()]

    @cached_property
    def store(self) -> Store:
        """The run's tables; one for all stages, so that what was read once is not read again.

        Raises Damaged where somebody who was left out is on no list any more: they would come back without a word.
        """
        self._check_lists()
        return Store(self.run, self.opt_out)

    def _check_lists(self) -> None:
        if damage := forgotten(self.run, self.opt_out):
            raise Damaged(damage, self.run)

    def check_there(self) -> None:
        """Raise StageError when somebody deleted the run folder since `keep_profile`: what follows would begin it anew."""
        if not (self.run / KEPT).is_file():
            raise StageError(
                f"{self.run} is gone, or its {KEPT}: somebody deleted or moved it; stopped, nothing is begun anew"
            )

    def again(self, program: str, places: Mapping[str, str]) -> list[str]:
        """The options with which `python -m stages.PROGRAM` chooses what it chose now, beside what the run remembers.

        Args:
            program: its name; its own settings are options of its command.
            places: {setting of its own: path} of files and folders, for a command that is given somewhere else.
        """
        now, before = self.chosen, self.before
        options = [] if now.profile == before.profile else ["--profile", now.profile]
        for name in ("input", "manifest", "poses", "models"):
            if (value := getattr(now, name)) != getattr(before, name):
                options += [word for one in each(value) for word in (f"--{name}", one)] if value else ["--reset", name]
        options += [word for key in before.sets if key not in now.sets for word in ("--reset", key)]
        for key, value in now.sets.items():
            stage, _, setting = key.partition(".")
            if before.sets.get(key) == value:
                continue
            own = [f"--{setting.replace('_', '-')}", places.get(setting, value)]
            options += own if stage == program else ["--set", f"{key}={value}"]
        return options

    def keep_profile(self) -> None:
        """Write what was chosen, the resolved profile, and who is left out, into the run folder, for every later command."""
        machine = self.profile.machine
        choose(self.run, machine.storage, machine.cache, machine.cache_gb)
        storage_of(self.run).forget_here()
        self.chosen.write(self.run, self.profile)
        remember(self.run, self.opt_out, self._given())


def _usual_run(given: _Given) -> Path:
    """The run folder when none was named."""
    wanted = given.profile or os.environ.get("CSG405_PROFILE", "")
    return Path("runs") / load(choose_profile(wanted, given.input, given.manifest)).name


def _with(known: Chosen, given: _Given) -> Chosen:
    """What is known, and on top of it what a command line says."""
    places = _place(given.input), _place(given.manifest)
    if any(places) and places != (known.input, known.manifest):  # poses belong to the clips of a manifest
        known = replace(known, input=places[0], manifest=places[1], poses="")
    if given.poses:
        known = replace(known, poses=_place(given.poses))
    if given.models:
        known = replace(known, models=_place(given.models))
    asked = settings_of(Path(given.settings)) if given.settings else {}
    asked |= dict(map(assigned, given.sets))
    return replace(known, sets={**known.sets, **{key: placed(key, value) for key, value in asked.items()}})


def _loaded(chosen: Chosen, targets: Sequence[str]) -> Profile:
    """The profile with what was chosen beside it; settings have the last word about the input too."""
    plain = load(chosen.profile)
    what = chosen.input or chosen.manifest
    settings = [f"crawl.input={_quoted(what)}"] if what else []
    if chosen.manifest:
        settings += [f"{stage}.manifest={_quoted(chosen.manifest)}" for stage in _readers_of_manifests(plain, targets)]
    if chosen.poses:
        settings.append(f"import_poses.archive={_quoted(chosen.poses)}")
    profile = load(chosen.profile, [*settings, *(f"{key}={value}" for key, value in chosen.sets.items())])
    if profile.stages.get("crawl", {}).get("input") != "search":
        profile = profile.without("speech_types", "search")  # what to crawl is known
    return profile.replacing("annotate", "import_poses") if chosen.poses else profile


def _readers_of_manifests(profile: Profile, targets: Sequence[str]) -> list[str]:
    """The stages of a profile, and of those named beside it, that work on a manifest."""
    beside = [name for name in targets if name not in profile.targets and is_stage(name)]
    names = dict.fromkeys([*profile.all_stages, *profile.stages, *beside])
    return [name for name in names if "manifest" in settings_class(name).model_fields]


def _absolute(reference: str) -> str:
    """A profile as a run remembers it: a file by its absolute path."""
    return str(Path(reference).absolute()) if reference.endswith(".toml") else reference


def _same_file(reference: str, path: Path) -> bool:
    return reference.endswith(".toml") and Path(reference).absolute() == path.absolute()


def _place(text: str) -> str:
    """A path, several, or a link as a run remembers it: a path that exists is made absolute."""
    paths = [(one, Path(one).expanduser()) for one in each(text)]
    return joined([str(path.absolute()) if one and path.exists() else one for one, path in paths])


def _quoted(text: str) -> str:
    """A path or link as a TOML string."""
    return json.dumps(text, ensure_ascii=False)
