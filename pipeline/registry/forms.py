"""Forms that are made of released nets once, and kept in the cache: faster ones, and ones in half precision.

The code that makes them is named as module:function, and lies in folders named for it, so that changed code makes them anew.
"""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib import util
from pathlib import Path
from typing import Any

import filelock

from pipeline.base import files
from pipeline.base.attributes import load_attribute
from pipeline.base.progress import doing


@dataclass(frozen=True)
class Half:
    """What there is of a net in half precision.

    Attributes:
        path: of the file; None where it is refused, was not tried yet, or could not be tried.
        words: what came of the trial.
        failed: whether it ended without a verdict, so that another one may end otherwise.
    """

    path: Path | None = None
    words: str = ""
    failed: bool = False


def prepared(cache: Path, preparer: str, path: Path, sha256: str, *, make: bool) -> tuple[Path, str]:
    """The faster form of a net; or the net as it is, and why.

    Args:
        cache: folder of the registry.
        preparer: as of the registry's entry.
        path: of the net.
        sha256: of the released file.
        make: it may be made now; a command that only looks needs the hash alone.
    """
    folder = cache / "prepared" / f"{code_of(preparer)}-{sha256[:12]}"
    target, refused = folder / f"{path.stem}.onnx", folder / f"{path.stem}.txt"
    if make and not (target.is_file() or refused.is_file()):
        prepare = load_attribute(preparer)
        files.make_folder(folder)
        with doing(f"preparing {path.name}"), filelock.FileLock(folder / ".lock"):
            if not (target.is_file() or refused.is_file()):  # of two processes that want it, one prepares
                _prepare(prepare, path, target, refused)
    if target.is_file():
        return target, ""
    if refused.is_file():
        return path, f"{refused.read_text(encoding='utf-8')}; to try again, delete {refused}"
    return path, ""


def halved(cache: Path, halver: str, path: Path, sha256: str, device: str, *, make: bool) -> Half:
    """A net in half precision, where a trial on this device allows it; a verdict holds for one GPU and version of onnxruntime.

    Args:
        cache: folder of the registry.
        halver: as of the registry's entry.
        path: of the net in the form that is to be halved.
        sha256: of that file.
        device: "cpu" or "cuda".
        make: it may be made and tried now.
    """
    folder = cache / "halved" / f"{code_of(halver)}-{sha256[:12]}"
    runner = load_attribute(f"{halver.partition(':')[0]}:runner")(device)
    target, told = folder / f"{path.stem}.{runner}.onnx", folder / f"{path.stem}.{runner}.json"
    if make and not told.is_file():
        halve, failed = load_attribute(halver), ""
        files.make_folder(folder)
        with doing(f"trying {path.name} in half precision"), filelock.FileLock(folder / f".{runner}.lock"):
            if not told.is_file():  # of two processes that want it, one tries
                failed = _halve(halve, path, target, told, device)
        if failed:
            return Half(None, f"single precision this time, for the trial of half failed: {failed}", True)
    if not told.is_file():
        return Half()
    words, allowed = _verdict(told)
    if allowed and not target.is_file():
        return Half(None, f"single precision, for {target} is gone; to make it again, delete {told}")
    return Half(target if allowed else None, words)


def _prepare(prepare: Callable[[Path, Path], str], path: Path, target: Path, refused: Path) -> None:
    """Write the faster form of a net, or why there is none."""
    made = target.with_name(f".{target.name}.made")
    try:
        if reason := prepare(path, made):
            files.write_text(refused, reason)
        else:
            files.sync(made)
            made.replace(target)
    finally:
        made.unlink(missing_ok=True)


def _halve(halve: Callable[[Path, Path, str], Any], path: Path, target: Path, told: Path, device: str) -> str:
    """Write a net in half precision, where a trial allows it, and beside it the verdict; returns why there is none, or ""."""
    made = target.with_name(f".{target.name}.made")
    try:
        verdict = halve(path, made, device)
        if verdict.failed:
            return str(verdict.refused)
        if not verdict.refused:
            files.sync(made)
            made.replace(target)
        files.write_text(told, json.dumps({**asdict(verdict), "words": verdict.words}, indent=1))
        return ""
    finally:
        made.unlink(missing_ok=True)


def _verdict(told: Path) -> tuple[str, bool]:
    """What came of a trial in words, and whether half precision is allowed; one that cannot be read allows nothing."""
    try:
        verdict = json.loads(told.read_text(encoding="utf-8"))
        words, refused = str(verdict["words"]), str(verdict["refused"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        words = refused = f"the verdict cannot be read: {error}"
    if refused:
        return f"single precision, for half is refused: {words}; to try again, delete {told}", False
    return f"half precision: {words}", True


def recipe(preparer: str) -> str:
    """Name and version of a recipe: "pose.prepare:detector 1"."""
    module, _, function = preparer.partition(":")
    return f"{module.rpartition('.')[2]}:{function} {load_attribute(f'{module}:VERSION')}"


def code_of(recipe: str) -> str:
    """A hash over the source of the module of a recipe, and of the others of its package where it is one."""
    spec, state = util.find_spec(recipe.partition(":")[0]), hashlib.sha256()
    folders = [Path(location) for location in spec.submodule_search_locations or []] if spec else []
    sources = [path for folder in folders for path in sorted(folder.glob("*.py"))]
    if not folders and spec and spec.origin:
        sources = [Path(spec.origin)]
    for path in sources:
        state.update(path.read_bytes())
    return state.hexdigest()[:12]
