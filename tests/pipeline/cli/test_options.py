"""Options of settings: a list may be given as one text or item by item, and none of them is left out."""

import click
import pytest
from click.testing import CliRunner

from pipeline.cli.options import option_of
from pipeline.engine.profile import load
from pipeline.model.training.recipe import Recipe


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], ()),
        (["--speaker", "s2"], ("s2",)),
        (["--speaker", '["s2", "s0"]'], ("s2", "s0")),
        (["--speaker", "s2", "--speaker", "s0"], ("s2", "s0")),
        (["--speaker", 'a "name"', "--speaker", "7"], ('a "name"', "7")),
    ],
)
def test_a_list_is_all_that_was_given(given: list[str], wanted: tuple[str, ...]) -> None:
    @click.command()
    @option_of("speaker", Recipe.model_fields["speaker"], "text")
    def command(text: str | None) -> None:
        sets = [] if text is None else [f"train.speaker={text}"]
        click.echo(repr(load("folder", sets).settings("train").speaker))  # type: ignore[attr-defined]

    ended = CliRunner().invoke(command, given)
    assert ended.exit_code == 0 and ended.output == f"{wanted!r}\n", ended.output
