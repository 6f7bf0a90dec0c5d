"""What a user is told in a line: every exception class of ours derives from the base class, or stands in a list with its reason."""

import ast
import builtins
import functools
import importlib
import pickle
from pathlib import Path
from typing import Any

import pytest

from pipeline.backends.errors import Trouble
from pipeline.base.damage import Damage
from pipeline.base.errors import UserError
from pipeline.base.reasons import Reason
from pipeline.cli.faults import Fault, errors_in_a_line

ROOT = Path(__file__).parents[3]
INTERNAL = {  # these are caught, or end as a bug with its traceback
    "BadArray": "import_poses makes a Reject of it",
    "BadFooter": "whoever opens a shard makes a ShardError of it",
    "BadPage": "the reader of shards makes a ShardError of it",
    "BadRow": "the reader of manifests makes a refused row of it",
    "BadToml": "a ProfileError or BadUse is made of it, which names the file",
    "CannotAsk": "a GPU's memory is not limited, and the log says why",
    "CannotSplice": "the shard is packed from its rows instead",
    "DamagedFile": "a part that does not read; a Damage is made of it",
    "DamagedPatches": "the pictures are decoded again",
    "DamagedWave": "the track is decoded again",
    "Fault": "what click prints: a UserError ends as one",
    "MissingPoses": "import_poses makes a Reject of it",
    "NotHalved": "the net is used in single precision, and the command says why",
    "NotToml": "a BadToml",
    "NotUnderstood": "the net is used as it is, and the command says why",
    "Refused": "travels through yt-dlp, and ends as a Reject",
    "RefusedProgram": "to yt-dlp a program that is not installed; else it ends as a Reject",
    "RefusedRequest": "travels through yt-dlp, and ends as a Reject",
    "Taken": "the lock looks again, or refuses in words of its own",
    "Stopped": "ends a hash that is no longer wanted",
    "UnclearBox": "the reader of manifests keeps the row without its box, and counts it",
    "UnfitPoses": "import_poses makes a Reject of it",
    "Unusable": "an answer of a language model; ends as a Failure",
    "WriteError": "a crash of ffmpeg: a bug, whose traceback is wanted",
    "_Died": "the request is sent to the next server",
    "_Missing": "the track is decoded again",
    "_TrialFailed": "the net is used in single precision this time, and the command says why",
    "_Unknown": "the back-ends' runner ends with its words",
    "_OtherBytes": "the bucket's own; ends as a Failure",
    "_OthersLeftOut": "the evaluation begins again, and says why",
    "_Short": "the downloader's own; ends as a DownloadError",
    "_Wrong": "the downloader's own; ends as a DownloadError",
}
ARGUMENTS: dict[str, tuple[Any, ...]] = {
    "BackendError": (Trouble.HANG, "what is wrong, and what to do"),
    "Damaged": (Damage("tables/x", "what is wrong, and what to do"), Path("run")),
    "Failure": (Reason.NETWORK, "what is wrong, and what to do"),
    "Reject": (Reason.GONE, "what is wrong, and what to do"),
    "Skipped": ("a stage", "what is wrong, and what to do"),
}


@functools.cache
def classes() -> list[tuple[str, str, set[str]]]:
    """Module, name and names of the bases of every class in the tree; read, not imported: many modules are heavy."""
    found = []
    for path in sorted(p for room in ("pipeline", "stages") for p in (ROOT / room).rglob("*.py")):
        parts = path.relative_to(ROOT).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found.append((module, node.name, {ast.unparse(base).split(".")[-1] for base in node.bases}))
    return found


def descendants(roots: set[str]) -> dict[str, str]:
    """Name -> module of the classes that derive from one of these, by whatever way."""
    found: dict[str, str] = {}
    while new := {n: m for m, n, bases in classes() if n not in found and bases & (roots | found.keys())}:
        found |= new
    return found


BUILT_IN = {
    name
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException) and not issubclass(kind, Warning)
}
TOLD = descendants({"UserError"})


def test_each_exception_class_is_told_to_users_or_is_named_as_internal() -> None:
    ours = descendants(BUILT_IN | {"ClickException"})
    assert len(TOLD) > 15
    assert ours.keys() - TOLD.keys() - {"UserError"} == INTERNAL.keys()


@pytest.mark.parametrize("name", sorted(TOLD))
def test_an_error_for_users_survives_the_way_to_another_process_and_is_told_in_a_line(name: str) -> None:
    cls = getattr(importlib.import_module(TOLD[name]), name)
    error = cls(*ARGUMENTS.get(name, ("what is wrong, and what to do",)))
    back = pickle.loads(pickle.dumps(error))
    assert (type(back), str(back), vars(back)) == (cls, str(error), vars(error))
    with pytest.raises(Fault) as told, errors_in_a_line():
        raise back
    assert (told.value.exit_code, told.value.message) == (error.exit_code, str(error))
    assert isinstance(told.value.__cause__, UserError) and "what is wrong, and what to do" in told.value.message


def test_a_bug_keeps_its_traceback() -> None:
    with pytest.raises(ZeroDivisionError), errors_in_a_line():
        raise ZeroDivisionError
