"""Names that a shell completes and that only profiles, runs and tables know. What cannot be read completes to nothing."""

from pathlib import Path

import click
from click.shell_completion import CompletionItem

from pipeline.base.reasons import Reason
from pipeline.engine.profile import Profile, ProfileError, load, shipped
from pipeline.engine.runs import USUAL, runs_in
from pipeline.tables.kinds import KINDS

_BESIDE = ("probe", "availability", "release")  # stages that run only when asked for


def profiles(_: click.Context, begun: str) -> list[CompletionItem]:
    """Profiles that come with the project; a path once it looks like one."""
    return _like(shipped(), begun) or [CompletionItem("", type="file")]


def runs(_: click.Context, begun: str) -> list[CompletionItem]:
    """Runs below `runs/`, and below the folder that is being typed; else folders."""
    folders = dict.fromkeys([USUAL, *([Path(begun).parent, Path(begun)] if begun else [])])
    found = [str(run) for folder in folders if folder != Path() for run in runs_in(folder)]
    return _like(found, begun) or [CompletionItem("", type="dir")]


def targets(context: click.Context, begun: str) -> list[CompletionItem]:
    """Targets and stages of the profile that is named, else of `folder`, that are not given yet."""
    profile = _profile(context)
    given = context.params.get("targets") or ()
    names = (*profile.targets, *profile.all_stages, *_BESIDE) if profile else ()
    return _like([name for name in names if name not in given], begun)


def stages(context: click.Context, begun: str) -> list[CompletionItem]:
    """Stages of the profile that is named, else of `folder`."""
    profile = _profile(context)
    return _like([*profile.all_stages, *_BESIDE] if profile else [], begun)


def kinds(_: click.Context, begun: str) -> list[CompletionItem]:
    """Tables."""
    return _like(list(KINDS), begun)


def reasons(_: click.Context, begun: str) -> list[CompletionItem]:
    """Codes of reasons."""
    return _like([reason.code for reason in Reason], begun)


def _profile(context: click.Context) -> Profile | None:
    try:
        return load(context.params.get("profile") or "folder")
    except ProfileError:
        return None


def _like(names: list[str], begun: str) -> list[CompletionItem]:
    return [CompletionItem(name) for name in dict.fromkeys(names) if name.startswith(begun)]
