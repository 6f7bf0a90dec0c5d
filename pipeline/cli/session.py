"""What the commands share: the options about a run."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from pipeline.cli import complete
from pipeline.sources.local.several import BETWEEN, joined

if TYPE_CHECKING:
    from pipeline.engine.session import Session


def _only_one(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str:
    """The one value of an option: click takes the last of several, and the others would be left out in silence."""
    if len(given) > 1:
        raise click.BadParameter(f"given {len(given)} times, and a run has one: {', '.join(given)}", param=option)
    return given[0] if given else ""


def _one_input(_: click.Context, option: click.Parameter, given: tuple[str, ...]) -> str:
    """Several folders as one input; a list of links stands alone."""
    for one in given if len(given) > 1 else ():
        if BETWEEN in one or not Path(one).expanduser().exists():
            raise click.BadParameter(f"of several inputs each is a folder of videos, or a video: {one!r}", param=option)
    return joined(given)


_ONCE: dict[str, Any] = {"multiple": True, "callback": _only_one, "shell_complete": complete.paths}


_ABOUT_A_RUN = (
    click.option(
        "--profile",
        "-p",
        default="",
        shell_complete=complete.profiles,
        help="Profile name, or a TOML file; by default the run's own, else that of CSG405_PROFILE.",
    ),
    click.option(
        "--run",
        "-r",
        "run_folder",
        default="",
        shell_complete=complete.runs,
        help="Run folder; runs/PROFILE by default.",
    ),
    click.option(
        "--input",
        "-i",
        "input_",
        multiple=True,
        callback=_one_input,
        shell_complete=complete.paths,
        help="Folder of videos (several may be given), or a list of links.",
    ),
    click.option("--manifest", "-m", **_ONCE, help="List of links, or a released list of clips (rebuild)."),
    click.option(
        "--poses",
        default="",
        metavar="PATH",
        shell_complete=complete.paths,
        help="Released poses, in place of annotating anew.",
    ),
    click.option(
        "--models",
        default="",
        shell_complete=complete.paths,
        help="Folder that is searched for nets first; by default the run's own, else that of CSG405_MODELS.",
    ),
    click.option(
        "--set", "sets", multiple=True, metavar="STAGE.KEY=VALUE", help="Change one setting; the run remembers it."
    ),
    click.option(
        "--settings",
        default="",
        metavar="FILE",
        shell_complete=complete.paths,
        help="Change settings by a TOML file; --set goes before it.",
    ),
    click.option(
        "--reset",
        multiple=True,
        metavar="KEY",
        help="Back to the profile's: a setting, a stage, models, input ..., all.",
    ),
)


def about_a_run(function: Any) -> Any:
    """Options that every command about a run shares."""
    for option in reversed(_ABOUT_A_RUN):  # decorators apply from the last one up
        function = option(function)
    return function


def there(given: dict[str, Any], targets: Sequence[str] = ()) -> "Session":
    """The session of a command that works on a run that is there already. Raises BadUse for a folder that is no run."""
    from pipeline.engine import runs  # `--help` loads no profile
    from pipeline.engine import session as sessions

    session = sessions.Session(**given, targets=targets)
    runs.check_is_run(session.run)
    return session


def about_shards(function: Any) -> Any:
    """Which part of the units is done, and how long it waits for the others."""
    shard = click.option(
        "--shard", default="", metavar="I/N", help="Do only the I-th of N parts of the units (I from 0)."
    )
    wait = click.option(
        "--wait",
        type=click.FloatRange(0),
        default=5.0,
        show_default=True,
        metavar="MINUTES",
        help="How long a shard waits where it needs others and nobody is at work on them.",
    )
    return shard(wait(function))


def about_upgrades(function: Any) -> Any:
    """What is to become of finished work that a newer version makes new."""
    redo = click.option(
        "--redo", is_flag=True, help="Do again what a newer version of a stage or of the reader makes new."
    )
    keep = click.option(
        "--keep", is_flag=True, help="Leave results of older versions as they are, in later runs too, until --redo."
    )
    return redo(keep(function))
