"""The `csg405` command: the group of all commands, and the command line of a single stage."""

from typing import Any

import click

from pipeline.cli.availability import availability
from pipeline.cli.catalogue import models, profile
from pipeline.cli.discard import discard
from pipeline.cli.looks import failed, show, status
from pipeline.cli.opt_out import opt_out
from pipeline.cli.run import execute, run
from pipeline.cli.session import INTERRUPTED, Fault, Guarded, about_a_run, errors_in_a_line
from pipeline.cli.tables import compact, gc, retry, table
from pipeline.engine.lookup import settings_class
from pipeline.engine.program import Program
from pipeline.engine.session import Session, choose_profile

_HELP = {"help_option_names": ["-h", "--help"]}
SETTING = "setting_"  # before the names of a stage's settings, which may be those of other options

__all__ = ["INTERRUPTED", "Fault", "choose_profile", "main", "stage_main"]


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="csg405")
def main() -> None:
    """Builds the CSG-405 co-speech gesture video data set and trains on it."""


for _command in (run, status, show, failed, availability, retry, discard, opt_out, table, compact, gc, models, profile):
    main.add_command(_command)


def stage_main(name: str) -> None:
    """The command line of `python -m stages.NAME`: run this one stage or program; `--key value` sets one of its settings."""
    cls = settings_class(name)
    made = _program_command(name) if issubclass(cls, Program) else _stage_command(name)
    taken = {option for parameter in made.params for option in parameter.opts}
    for key, field in cls.model_fields.items():
        if _flag(key) not in taken:
            click.option(_flag(key), SETTING + key, metavar="VALUE", help=field.description)(made)
    made(prog_name=f"python -m stages.{name}")


def _stage_command(name: str) -> click.Command:
    @click.command(context_settings=_HELP, help=f"Run the stage {name}.")
    @about_a_run
    @click.option("--workers", type=click.IntRange(0), default=None, metavar="N", help="Processes; 0 runs in this one.")
    @click.option("--shard", default="", metavar="I/N", help="Do only the I-th of N parts of the units (I from 0).")
    def command(workers: int | None, shard: str, **given: Any) -> None:
        with errors_in_a_line():
            execute(_session(name, given), [name], workers, shard)

    return command


def _program_command(name: str) -> click.Command:
    summary = settings_class(name).summary

    @click.command(context_settings=_HELP, help=f"{summary[:1].upper()}{summary[1:]}.")
    @about_a_run
    def command(**given: Any) -> None:
        from pipeline.engine.runner import importable
        from pipeline.tables.lock import program as at_work

        with errors_in_a_line():
            session = _session(name, given)
            program = session.profile.settings(name)
            assert isinstance(program, Program)
            missing = [module for module in program.needed_modules() if not importable(module)]
            if missing:
                raise Fault(f'{name} needs {", ".join(missing)}: pip install "csg405[{program.extra}]"')
            with at_work(session.run):
                program.run(session)

    return command


def _session(name: str, given: dict[str, Any]) -> Session:
    """The session of a command line on which bare settings are those of the stage `name`."""
    sets = [text if "." in text.partition("=")[0] else f"{name}.{text}" for text in given.pop("sets")]
    for key in [key for key in given if key.startswith(SETTING)]:
        value = given.pop(key)
        sets += [f"{name}.{key.removeprefix(SETTING)}={value}"] if value is not None else []
    return Session(**given, sets=sets, targets=[name])


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"
