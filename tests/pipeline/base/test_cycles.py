"""The search for cycles of objects rests for a while, and goes on as it was."""

import gc

import pytest

from pipeline.base.cycles import unsearched


def test_the_search_rests_within_and_goes_on_behind() -> None:
    assert gc.isenabled()
    with unsearched():
        with unsearched():
            assert not gc.isenabled()
        assert not gc.isenabled(), "the inner block ends, and the outer one goes on"
    assert gc.isenabled()


def test_the_search_goes_on_after_an_error() -> None:
    with pytest.raises(KeyError), unsearched():
        raise KeyError
    assert gc.isenabled()


def test_who_does_without_the_search_goes_on_without() -> None:
    gc.disable()
    try:
        with unsearched():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
