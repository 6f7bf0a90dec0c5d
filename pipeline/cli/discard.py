"""`csg405 discard`: free sources of which nothing more is needed."""

from typing import Any

import click

from pipeline.base.progress import size
from pipeline.cli.session import about_a_run, there
from pipeline.engine.discard import free
from pipeline.engine.session import Session


@click.command()
@click.argument("what", type=click.Choice(["raw"]))
@click.option("--dry-run", is_flag=True, help="List what would go, free nothing.")
@about_a_run
def discard(what: str, dry_run: bool, **given: Any) -> None:
    """Free the downloads that every stage of the profile is done with; `retry --refetch` brings them back."""
    discard_sources(there(given), dry_run=dry_run)


def discard_sources(session: Session, *, dry_run: bool = False, terse: bool = False) -> bool:
    """Free sources and print what went and what stayed, and why. Returns whether any went."""
    freed = free(session.profile, session.store, session.models, dry_run=dry_run)
    if dry_run:
        for source in freed.sources:
            click.echo(f"{source.bytes:>14,} B  {session.store.storage.named(source.key)}")
    verb = "could go" if dry_run else "freed"
    said = f"{len(freed.sources)} sources {verb}, {size(freed.bytes)}" if freed.sources else f"no sources {verb}"
    if freed.sources or not terse:
        click.echo(f"{'discard':>16}  {said}")
    for why, count in () if terse else freed.kept.most_common():
        click.echo(f"{'':>16}  {count} kept: {why}")
    return bool(freed.sources)
