"""A session: the profile, run folder and nets of one command."""

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from pipeline.base import toml
from pipeline.base.errors import BadUse, StageError
from pipeline.engine.lookup import settings_class
from pipeline.engine.profile import Profile, ProfileError, is_stage, load
from pipeline.registry.models import Registry

if TYPE_CHECKING:
    from pipeline.tables.store import Store

KEPT = "profile.toml"  # in the run folder: the resolved profile of its last command


def choose_profile(profile: str, input: str, manifest: str) -> str:
    """The profile to use when the user named none: the demo only when there is nothing else to work on."""
    if profile:
        if profile == "demo" and (input or manifest):
            raise BadUse("profile demo brings its own footage and its nets refuse any other: use PROFILE=folder")
        return profile
    if manifest:
        from pipeline.sources.manifest import form_of

        return "rebuild" if form_of(Path(manifest).expanduser()) else "folder"
    return "folder" if input else "demo"


class Session:
    """A profile, a run folder and the nets, as the command line gave them."""

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
    ) -> None:
        named = bool(profile or input_ or manifest)
        kept = Path(run_folder) / KEPT if run_folder else None
        if input_ and manifest:
            raise BadUse("give INPUT or MANIFEST, not both: each says what to crawl")
        for option, given in (("MANIFEST", manifest), ("POSES", poses)):  # now, not after a week of crawling
            if given and not Path(given).expanduser().is_file():
                raise BadUse(f"{option}={given}: there is no such file")
        name = str(kept) if not named and kept and kept.is_file() else choose_profile(profile, input_, manifest)
        try:
            self.profile: Profile = _loaded(name, run_folder, input_, manifest, poses, sets, targets)
        except ProfileError as error:
            raise BadUse(str(error)) from error
        self.run = Path(run_folder) if run_folder else Path("runs") / self.profile.name
        if models and not Path(models).is_dir():
            raise BadUse(f"MODELS={models} is not a folder")
        self.models = Registry(Path(models) if models else None)

    @cached_property
    def store(self) -> "Store":
        """The run's tables; one for all stages, so that what was read once is not read again."""
        from pipeline.tables.opt_out import of_run
        from pipeline.tables.store import Store

        return Store(self.run, of_run(self.run, self.profile.opt_out))

    def check_there(self) -> None:
        """Raise StageError when somebody deleted the run folder since `keep_profile`: what follows would begin it anew."""
        if not (self.run / KEPT).is_file():
            raise StageError(f"{self.run} is gone, or its {KEPT}: somebody deleted or moved it; stopped, nothing is begun anew")

    def keep_profile(self) -> None:
        """Write the resolved profile into the run folder, for `status`, `report` and later readers."""
        from pipeline.base import files
        from pipeline.engine.profile import show

        path, text = self.run / KEPT, show(self.profile)
        if not path.is_file() or path.read_bytes() != text.encode():
            files.write_text(path, text)


def _loaded(
    name: str, run_folder: str, input_: str, manifest: str, poses: str, sets: Sequence[str], targets: Sequence[str]
) -> Profile:
    """The profile with what the command line says about its input, or else the run remembers; --set has the last word."""
    plain = load(name)
    if not input_ and not manifest and plain.stages.get("crawl", {}).get("input", "") in ("", "search"):
        kept = _remembered(Path(run_folder) if run_folder else Path("runs") / plain.name, plain.name)
        input_, manifest, poses = kept["input"], kept["manifest"], poses or kept["archive"]
    settings = [f"crawl.input={_quoted(input_ or manifest)}"] if input_ or manifest else []
    if manifest:
        settings += [f"{stage}.manifest={_quoted(manifest)}" for stage in _readers_of_manifests(plain, targets)]
    if poses:
        settings.append(f"import_poses.archive={_quoted(poses)}")
    profile = load(name, [*settings, *sets])
    if profile.stages.get("crawl", {}).get("input") != "search":
        profile = profile.without("speech_types", "search")  # what to crawl is known
    return profile.replacing("annotate", "import_poses") if poses else profile


def _remembered(run: Path, profile: str) -> dict[str, str]:
    """What a run of this profile was made from: {"input", "manifest", "archive"}, "" where nothing is known."""
    try:
        kept = toml.read(run / KEPT)
    except (FileNotFoundError, NotADirectoryError):
        kept = {}
    except toml.BadToml as error:
        raise ProfileError(f"{run / KEPT}: {error}") from error
    stages = kept.get("stages", {}) if kept.get("name") == profile else {}
    remembered = {key: next((s[key] for s in stages.values() if s.get(key)), "") for key in ("manifest", "archive")}
    return {**remembered, "input": stages.get("crawl", {}).get("input", "") if not remembered["manifest"] else ""}


def _readers_of_manifests(profile: Profile, targets: Sequence[str]) -> list[str]:
    """The stages of a profile, and of those named beside it, that work on a manifest."""
    beside = [name for name in targets if name not in profile.targets and is_stage(name)]
    names = dict.fromkeys([*profile.all_stages, *profile.stages, *beside])
    return [name for name in names if "manifest" in settings_class(name).model_fields]


def _quoted(text: str) -> str:
    """A path or link as a TOML string; a path that exists is made absolute, because a run remembers it."""
    path = Path(text).expanduser()
    return json.dumps(str(path.absolute()) if path.exists() else text, ensure_ascii=False)
