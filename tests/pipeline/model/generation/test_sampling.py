"""Sampling is set in one place: all that generate have the same names, defaults and limits."""

from typing import get_args

import pytest
from pydantic import ValidationError

from pipeline.model.generation.sampling import STEPS, SamplingSettings
from stages.evaluate import Evaluate
from stages.evaluate.renditions import Renditions
from stages.generate import Generate

NAMES = ["guidance", "sampler", "sampler_steps", "seed", "overlap_frames"]


@pytest.mark.parametrize("user", [Generate, Evaluate, Renditions])
def test_everybody_has_them_as_they_are_declared(user: type[SamplingSettings]) -> None:
    declared, here = SamplingSettings.model_fields, user.model_fields
    assert list(declared) == NAMES and not set(NAMES) & set(vars(user).get("__annotations__", {}))
    assert all(repr(here[name]) == repr(declared[name]) for name in NAMES)
    assert [name for name in here if name in NAMES] == NAMES
    assert set(NAMES) <= set(user().result_settings())


@pytest.mark.parametrize(
    ("program", "before", "after"), [(Generate, "out", "align"), (Evaluate, "model", "window_batch")]
)
def test_they_are_shown_where_they_were(program: type[SamplingSettings], before: str, after: str) -> None:
    shown = list(program.model_fields)
    assert shown[shown.index("guidance") - 1] == before and shown[shown.index("overlap_frames") + 1] == after


@pytest.mark.parametrize("user", [Generate, Evaluate, Renditions])
def test_ddim_takes_what_divides_its_steps(user: type[SamplingSettings]) -> None:
    with pytest.raises(ValidationError, match="not 7: dpm takes any"):
        user(sampler="ddim", sampler_steps=7)
    assert user(sampler="ddim", sampler_steps=25).sampler_steps == 25
    assert user(sampler="dpm", sampler_steps=7).sampler_steps == 7


def test_what_the_model_is_asked_for() -> None:
    asked = SamplingSettings(seed=4, sampler="dpm", sampler_steps=9, overlap_frames=3)
    assert asked.sampling(3.5) == {"guidance": 3.5, "sampler": "dpm", "steps": 9, "seed": 4, "overlap": 3}
    assert SamplingSettings(guidance=0).sampling(3.5)["guidance"] == 0


def test_samplers_and_steps_are_those_of_the_diffusion() -> None:
    pytest.importorskip("torch", reason="needs csg405[train]")
    from pipeline.model import diffusion

    assert get_args(SamplingSettings.model_fields["sampler"].annotation) == get_args(diffusion.Sampler)
    assert STEPS == diffusion.STEPS
