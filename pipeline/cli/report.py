"""`csg405 report`: where a run's page lies, and serving it to a browser on another machine."""

import getpass
import socket
from typing import Any

import click

from pipeline.base.errors import BadUse, StageError
from pipeline.cli.session import about_a_run, there
from pipeline.storage import where_of
from pipeline.views.server import PAGE, serve

PORT = 8405


@click.command()
@about_a_run
@click.option("--serve", "serving", is_flag=True, help="Serve the page to browsers, through an ssh tunnel for example.")
@click.option("--port", default=PORT, show_default=True, type=click.IntRange(0, 65535), help="Of --serve; 0 takes any.")
def report(serving: bool, port: int, **given: Any) -> None:
    """Where the page about a run lies; with --serve, show it to a browser on this machine or through ssh.

    `csg405 run report` makes the page; `--set report.footage=false` makes one without pictures and sound, to pass on.
    """
    run = there(given).run
    page = run.joinpath(*PAGE.split("/")[1:])
    if not page.is_file():
        raise StageError(f"{run} has no report yet: csg405 run report --run {run}")
    if not serving:
        click.echo(page.resolve().as_uri())
        if where := where_of(run):
            click.echo(
                f"its pictures and films lie in {where.url}: csg405 report --serve --run {run} shows them", err=True
            )
        return
    try:
        server = serve(run, port)
    except OSError as error:
        raise BadUse(f"port {port}: {error.strerror}; --port 0 takes any that is free") from error
    bound = server.server_address[1]
    click.echo(server.address)
    click.echo(f"from elsewhere: ssh -N -L {bound}:127.0.0.1:{bound} {getpass.getuser()}@{socket.gethostname()}")
    click.echo("Ctrl-C ends it")
    with server:
        try:
            server.serve_forever()
        except KeyboardInterrupt:
            click.echo("")
