"""Options of settings: a list may be given as one text or item by item, and none of them is left out."""

import click
import pytest
from click.testing import CliRunner

from pipeline.cli.options import option_of
from pipeline.engine.profile import load
from pipeline.model.training.recipe import Recipe


@click.command()
@option_of("speaker", Recipe.model_fields["speaker"], "text")
def command(text: str | None) -> None:
    sets = [] if text is None else [f"train.speaker={text}"]
    click.echo(repr(load("folder", sets).settings("train").speaker))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ([], ()),
        (["--speaker", "s2"], ("s2",)),
        (["--speaker", '["s2", "s0"]'], ("s2", "s0")),
        (["--speaker", "s2", "--speaker", "s0"], ("s2", "s0")),
        (["--speaker", 'a "name"', "--speaker", "7"], ('a "name"', "7")),
        (["--speaker", "José", "--speaker", "😀x"], ("José", "😀x")),
        (["--speaker", "a\x7f", "--speaker", "[b"], ("a\x7f", "[b")),
    ],
)
def test_a_list_is_all_that_was_given(given: list[str], wanted: tuple[str, ...]) -> None:
    ended = CliRunner().invoke(command, given)
    assert ended.exit_code == 0 and ended.output == f"{wanted!r}\n", ended.output


def test_a_list_among_items_is_refused() -> None:
    ended = CliRunner().invoke(command, ["--speaker", '["A", "B"]', "--speaker", "C"])
    assert ended.exit_code == 2
    assert 'Invalid value for \'--speaker\': ["A", "B"] is a list: give one list' in ended.output
