"""Nets made for one kind of footage, such as the demo's puppets, declare it in their metadata; others accept any."""

from collections.abc import Mapping
from typing import Any

from pipeline.base.errors import UserError

KEY = "csg405.footage"  # in a net's metadata: the only footage that it can see


class WrongFootage(UserError, ValueError):
    """Raised when a net is given footage that it was not made for."""


def footage_of(session: Any) -> str:
    """The only footage that the net of an onnxruntime session can see; "" when it sees any."""
    return str(session.get_modelmeta().custom_metadata_map.get(KEY, ""))


def check_footage(nets: Mapping[str, str], footage: str | None, settings: str) -> None:
    """Raise `WrongFootage` when a net cannot see this footage.

    Args:
        nets: name of each -> the only footage that it can see, or "".
        footage: of the video; None for real people.
        settings: of the profile with which other nets are chosen.
    """
    for net, only in nets.items():
        if only and footage != only:
            raise WrongFootage(
                f"{net} works on {only} footage only, and this is {footage or 'real'} footage: "
                f"choose other nets with {settings} in the profile"
            )
