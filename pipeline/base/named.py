"""What a text names in some module: registries list what they lead to, and import it once it is asked for."""

from importlib import import_module
from typing import Any


def named(where: str) -> Any:
    """The attribute that "module:attribute" names. Raises ImportError, AttributeError where there is none."""
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)
