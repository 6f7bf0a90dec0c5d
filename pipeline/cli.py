"""The `csg405` command: the group of all commands, and the command line of a single stage."""

import sys
from typing import Any

import click

from pipeline.cli_availability import availability
from pipeline.cli_catalogue import models, profile
from pipeline.cli_discard import discard
from pipeline.cli_looks import failed, show, status
from pipeline.cli_opt_out import opt_out
from pipeline.cli_run import execute, run
from pipeline.cli_session import INTERRUPTED, Fault, Guarded, Session, about_a_run, choose_profile, errors_in_a_line
from pipeline.cli_tables import compact, gc, retry, table
from pipeline.stage import stage_class

SETTING = "setting_"  # before the names of a stage's settings, which may be those of other options

__all__ = ["INTERRUPTED", "Fault", "choose_profile", "main", "stage_main"]


@click.group(cls=Guarded, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 120})
@click.version_option(package_name="csg405")
def main() -> None:
    """Builds the CSG-405 co-speech gesture video data set and trains on it."""


for _command in (run, status, show, failed, availability, retry, discard, opt_out, table, compact, gc, models, profile):
    main.add_command(_command)


def stage_main(name: str) -> None:
    """The command line of `python -m stages.NAME`: run this one stage; `--key value` sets one of its settings."""

    @click.command(context_settings={"help_option_names": ["-h", "--help"]}, help=f"Run the stage {name}.")
    @about_a_run
    @click.option("--workers", type=click.IntRange(0), default=None, metavar="N", help="Processes; 0 runs in this one.")
    @click.option("--shard", default="", metavar="I/N", help="Do only the I-th of N parts of the units (I from 0).")
    def command(workers: int | None, shard: str, **given: Any) -> None:
        sets = [text if "." in text.partition("=")[0] else f"{name}.{text}" for text in given.pop("sets")]
        for key in settings:
            value = given.pop(SETTING + key)
            sets += [f"{name}.{key}={value}"] if value is not None else []
        with errors_in_a_line():
            execute(Session(**given, sets=sets, targets=[name]), [name], workers, shard)

    fields = stage_class(name).model_fields
    taken = {option for parameter in command.params for option in parameter.opts}
    settings = [key for key in fields if _flag(key) not in taken]
    for key in settings:
        click.option(_flag(key), SETTING + key, metavar="VALUE", help=fields[key].description)(command)
    command(prog_name=f"python -m stages.{name}")


def _flag(key: str) -> str:
    return f"--{key.replace('_', '-')}"


if __name__ == "__main__":
    sys.exit(main())
