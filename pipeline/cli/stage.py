"""The command line of a single stage or program, with an option for each of its settings."""

from typing import Any

import click

from pipeline.base import install
from pipeline.cli.faults import Fault, errors_in_a_line
from pipeline.cli.options import flag, option_of
from pipeline.cli.run import end, execute
from pipeline.cli.session import about_a_run, about_shards, about_upgrades
from pipeline.engine.lookup import settings_class
from pipeline.engine.program import Program, StagedProgram
from pipeline.engine.runner import importable
from pipeline.engine.runs import check_is_run
from pipeline.engine.session import Session
from pipeline.engine.stage import ALL, Stage
from pipeline.tables.lock import program as at_work

_HELP = {"help_option_names": ["-h", "--help"]}
SETTING = "setting_"  # before the names of a stage's settings, which may be those of other options


def command_of(name: str) -> click.Command:
    """The command that runs one stage or program; `--key value` sets one of its settings."""
    cls = settings_class(name)
    made = _program_command(name, cls) if issubclass(cls, Program) else _stage_command(name)
    made.params = [
        parameter for parameter in made.params if parameter.name != "settings" or "settings" not in cls.model_fields
    ]
    taken = {option for parameter in made.params for option in parameter.opts}
    for key, field in cls.model_fields.items():
        if flag(key) not in taken:
            option_of(key, field, SETTING + key)(made)
    made.name = name
    return made


def _stage_command(name: str) -> click.Command:
    @click.command(context_settings=_HELP, help=f"Run the stage {name}: {settings_class(name).summary}.")
    @about_a_run
    @click.option("--workers", type=click.IntRange(0), default=None, metavar="N", help="Processes; 0 runs in this one.")
    @about_shards
    @about_upgrades
    def command(workers: int | None, shard: str, wait: float, redo: bool, keep: bool, **given: Any) -> None:
        with errors_in_a_line():
            session = _session(name, given)
            if _sums_up(session.profile.stage(name)):
                check_is_run(session.run)
            execute(session, [name], workers, shard, wait, redo=redo, keep=keep)
            end(session, [name], shard)

    return command


def _sums_up(stage: Stage) -> bool:
    """Whether a stage only looks at what others made, as a report does: without a run there is nothing to look at."""
    return bool(stage.reads) and stage.unit == ALL


def _program_command(name: str, cls: type[Program]) -> click.Command:
    summary = cls.summary

    @click.command(context_settings=_HELP, help=f"{summary[:1].upper()}{summary[1:]}.")
    @about_a_run
    def command(**given: Any) -> None:
        with errors_in_a_line():
            answer = {key: given.pop(key) for key in ("redo", "keep") if key in given}
            session = _session(name, given, beside=True)
            program = session.profile.settings(name)
            assert isinstance(program, Program)
            missing = [module for module in program.needed_modules() if not importable(module)]
            if missing:
                raise Fault(f"{name} needs {', '.join(missing)}: {install.with_extra(program.extra)}")
            with at_work(session.run):
                program.run(session, **answer)

    return about_upgrades(command) if issubclass(cls, StagedProgram) else command


def _session(name: str, given: dict[str, Any], *, beside: bool = False) -> Session:
    """The session of a command line on which bare settings are those of the stage `name`."""
    sets = [text if "." in text.partition("=")[0] else f"{name}.{text}" for text in given.pop("sets")]
    for key in [key for key in given if key.startswith(SETTING)]:
        value = given.pop(key)
        sets += [f"{name}.{key.removeprefix(SETTING)}={value}"] if value is not None else []
    return Session(**given, sets=sets, targets=[name], beside=beside)
