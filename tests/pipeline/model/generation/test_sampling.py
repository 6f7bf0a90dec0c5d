"""Sampling is set in one place: all that generate have the same names, defaults and limits."""

import itertools
from typing import get_args

import pytest
from pydantic import ValidationError

from pipeline.model.generation.sampling import OURS, STEPS, SamplingSettings
from stages.evaluate import Evaluate
from stages.evaluate.renditions import Renditions
from stages.generate import Generate

NAMES = [
    *("guidance", "guidance_from", "guidance_to", "guidance_rescale", "begin_at_reference", "smooth"),
    *("sampler", "sampler_steps", "seed", "overlap_frames"),
]


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
    given = {"guidance": 0, "guidance_from": 0.2, "guidance_to": 0.6, "guidance_rescale": 0.7, "smooth": "release"}
    asked = SamplingSettings(**given, begin_at_reference=0, seed=4, sampler="dpm", sampler_steps=9, overlap_frames=3)
    for paired, published in itertools.product((False, True), repeat=2):
        found = asked.sampling(paired=paired, published=published)
        assert (found["guidance"], found["guidance_interval"], found["guidance_rescale"]) == (0, (0.2, 0.6), 0.7)
        assert (found["begin_at_reference"], found["smooth"], found["seed"], found["overlap"]) == (0, "release", 4, 3)
        assert (found["sampler"], found["steps"]) == ("dpm", 9) and len(found) == 9


@pytest.mark.parametrize("paired", [False, True])
def test_a_model_of_the_papers_recipe_samples_as_the_paper_does(paired: bool) -> None:
    found = SamplingSettings().sampling(paired=paired, published=True)
    assert found["guidance"] == (1 if paired else 3.5) and found["guidance_rescale"] == 0
    assert found["guidance_interval"] == (0, 1) and found["begin_at_reference"] == 0 and found["smooth"] == "none"
    assert found["sampler"] == "ancestral" and found["steps"] == 0


@pytest.mark.parametrize("paired", [False, True])
def test_other_models_have_the_defaults_of_the_table(paired: bool) -> None:
    found = SamplingSettings().sampling(paired=paired, published=False)
    assert found["guidance"] == (OURS.paired if paired else OURS.unpaired)
    assert found["begin_at_reference"] == OURS.begin_at_reference == 5 and found["smooth"] == OURS.smooth == "release"
    assert found["sampler"] == OURS.sampler == "dpm"
    asked = SamplingSettings(begin_at_reference=0, smooth="none", guidance=3.5, sampler="ancestral")
    assert asked.sampling(paired=paired, published=False) == SamplingSettings(guidance=3.5).sampling(
        paired=paired, published=True
    )


def test_an_interval_ends_after_it_begins() -> None:
    with pytest.raises(ValidationError, match="nothing would be guided"):
        SamplingSettings(guidance_from=0.6, guidance_to=0.5)


def test_samplers_and_steps_are_those_of_the_diffusion() -> None:
    pytest.importorskip("torch", reason="needs csg405[train]")
    from pipeline.model import diffusion
    from pipeline.model.generation import sampling

    names = get_args(diffusion.Sampler)
    assert get_args(SamplingSettings.model_fields["sampler"].annotation) == ("auto", *names)
    assert get_args(sampling.Sampler) == names
    assert STEPS == diffusion.STEPS


def test_smoothings_are_those_of_the_model() -> None:
    pytest.importorskip("torch", reason="needs csg405[train]")
    from pipeline.model import audio_to_skeleton
    from pipeline.model.generation import sampling

    assert get_args(sampling.Smooth) == get_args(audio_to_skeleton.Smooth)
    assert get_args(SamplingSettings.model_fields["smooth"].annotation) == ("auto", *get_args(sampling.Smooth))
