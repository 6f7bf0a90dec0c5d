"""`csg405 completion`: what makes a shell complete the command."""

import click
from click.shell_completion import get_completion_class

_SHELLS = {
    "bash": 'eval "$(csg405 completion bash)"     in ~/.bashrc',
    "zsh": 'eval "$(csg405 completion zsh)"      in ~/.zshrc, below compinit',
    "fish": "csg405 completion fish | source      in ~/.config/fish/config.fish",
}


@click.command(epilog="\b\n" + "\n".join(_SHELLS.values()))
@click.argument("shell", type=click.Choice(list(_SHELLS)))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print a script that makes a shell complete commands, options, stages, profiles and runs."""
    made = get_completion_class(shell)
    assert made is not None, "click knows all three"
    click.echo(made(context.find_root().command, {}, "csg405", "_CSG405_COMPLETE").source())
