"""The settings of back-ends: what cannot be used is refused where it is read, and examples in the texts are true."""

import re
import tomllib

import pytest
from pydantic import ValidationError

from pipeline.backends.settings import BackendSettings
from pipeline.backends.stableanimator import StableAnimator
from stages.finetune import Finetune


def test_arguments_that_no_shell_would_split() -> None:
    with pytest.raises(ValidationError, match="no closing quotation"):
        BackendSettings(backend_arguments="--name 'half")


def test_weights_are_called_as_the_texts_say() -> None:
    texts = (str(BackendSettings.model_fields["backend_weights"].description), str(Finetune.__doc__))
    for text in texts:
        found = re.search(r"\{[^}]*\}", text)
        assert found is not None
        assert set(tomllib.loads(f"weights = {' '.join(found[0].split())}")["weights"]) <= set(StableAnimator.weights)
