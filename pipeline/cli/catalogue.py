"""Commands about what comes with the project: `models` and `profile`."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click

from pipeline.cli import complete
from pipeline.cli.faults import BAD_USE, Fault
from pipeline.cli.screen import print_models
from pipeline.engine.annotated import show as annotated
from pipeline.engine.profile import ProfileError, load, shipped
from pipeline.registry.archives import BadModel
from pipeline.registry.models import MissingModel, Registry


@click.group(invoke_without_command=True)
@click.option("--models", default="", envvar="CSG405_MODELS", help="Folder that is searched for nets first.")
@click.pass_context
def models(context: click.Context, models: str) -> None:
    """The nets: which there are, which are here; `fetch` and `pin`."""
    context.obj = Registry(Path(models) if models else None)
    if context.invoked_subcommand is None:
        print_models(context.obj)


@models.command()
@click.argument("names", nargs=-1, required=True)
@click.pass_obj
def fetch(registry: Registry, names: Sequence[str]) -> None:
    """Download nets into the cache, with resume, and check their hashes; one that fails does not stop the others."""
    faults: list[str] = []
    for name in names:
        try:
            with click.progressbar(length=registry.entry(name).bytes or 1, label=name) as bar:
                seen = 0

                def report(done: int, total: int | None, bar: Any = bar) -> None:
                    nonlocal seen
                    bar.length = total or max(bar.length, done)
                    bar.update(done - seen)
                    seen = done

                path = registry.fetch(name, report)
            click.echo(f"{name}: {registry.checked(name, path).path}")
        except (MissingModel, BadModel) as error:
            faults.append(str(error))
    if faults:
        raise Fault("\n".join(faults))


@models.command()
@click.argument("name")
@click.pass_obj
def pin(registry: Registry, name: str) -> None:
    """Record the hash of a net that you trust, where the registry knows none."""
    try:
        click.echo(f"{name}: sha256 {registry.pin(name)}")
    except MissingModel as error:
        raise Fault(error) from error


@click.group()
def profile() -> None:
    """Profiles: what runs, with which settings."""


@profile.command("list")
def list_profiles() -> None:
    """The profiles that come with the project."""
    for name in shipped():
        click.echo(f"{name:>12}  {load(name).description}")


@profile.command("show")
@click.argument("name", default="folder", shell_complete=complete.profiles)
@click.option("--set", "sets", multiple=True, metavar="STAGE.KEY=VALUE")
def show_profile(name: str, sets: Sequence[str]) -> None:
    """A profile as annotated TOML: every setting, its value, unit and meaning."""
    try:
        click.echo(annotated(load(name, sets)), nl=False)
    except ProfileError as error:
        raise Fault(error, BAD_USE) from error
