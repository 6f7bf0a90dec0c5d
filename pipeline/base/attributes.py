"""Resolve `module:attribute` strings: registries list them, and import what they lead to once it is asked for."""

from importlib import import_module
from typing import Any


def load_attribute(where: str) -> Any:
    """Import the attribute that "module:attribute" names. Raises ImportError, AttributeError where there is none."""
    module, _, attribute = where.partition(":")
    return getattr(import_module(module), attribute)
