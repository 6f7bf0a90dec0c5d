"""How a program was called that filled a folder of a run: what is lost there is made again by the same call."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.base import files
from pipeline.base.damage import run_option
from pipeline.base.hashes import checked, with_checksum

CALL = "call.json"
_ARGUMENTS = "arguments"


def keep(folder: Path, arguments: Sequence[str]) -> None:
    """Note in a folder what the program that fills it was given beside its run."""
    content = with_checksum({_ARGUMENTS: list(arguments)}, folder.name)
    if not (folder / CALL).is_file() or (folder / CALL).read_bytes() != content.encode():
        files.write_text(folder / CALL, content)


def repeated(program: str, store: Path, run: Path) -> str:
    """The call that filled a store of a run, for a shell: `program --key value ... --run RUN`.

    Where no note says how it was called, or it is damaged, words that say so, with the bare call in backticks.
    """
    try:
        arguments = checked((store / CALL).read_text(encoding="utf-8"), store.name)[_ARGUMENTS]
        return " ".join(filter(None, (program, shlex.join(map(str, arguments)), run_option(run))))
    except (FileNotFoundError, ValueError, KeyError, TypeError):
        return f"`{program} {run_option(run)}`, with the options that it was given then: no note of them is left"
