"""How a program was called that filled a folder of a run: what is lost there is made again by the same call."""

import json
import shlex
from collections.abc import Sequence
from pathlib import Path

from pipeline.base import files
from pipeline.base.damage import run_option

CALL = "call.json"
_ARGUMENTS = "arguments"


def keep(folder: Path, arguments: Sequence[str]) -> None:
    """Note in a folder what the program that fills it was given beside its run."""
    content = json.dumps({_ARGUMENTS: list(arguments)}, ensure_ascii=False)
    if not (folder / CALL).is_file() or (folder / CALL).read_bytes() != content.encode():
        files.write_text(folder / CALL, content)


def repeated(program: str, store: Path, run: Path) -> str:
    """The call that filled a store of a run, for a shell: `program --key value ... --run RUN`.

    Where no note says how it was called, the bare program: it fills what it fills without options.
    """
    known = files.read_object(store / CALL).get(_ARGUMENTS)
    arguments = [str(each) for each in known] if isinstance(known, list) else []
    return " ".join(filter(None, (program, shlex.join(arguments), run_option(run))))
