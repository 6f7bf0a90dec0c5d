"""Run a back-end's own program for many clips, its weights opened once. Self-contained: it runs in the back-end's environment.

`python batch_runner.py JOBS ANSWERS CUT`, in the checkout. JOBS and ANSWERS are ends of pipes. A job is a line of JSON: the program
with its arguments, and the log that takes all that is said meanwhile; its answer is a line with the status that the program would
have ended with, and whether it was the last one.

The program's statements up to the one that assigns its pipeline run at the first job, the others at every job, with the random
numbers of a program that has just opened its weights: a clip comes out as from a process of its own. CUT says where that is, as
`pipeline.backends.backend.Cut` does.

After a failure of memory or of the GPU this process ends: what comes after in it cannot be trusted.
"""

from __future__ import annotations

import ast
import contextlib
import gc
import json
import os
import random
import re
import sys
import traceback
import types
from pathlib import Path
from typing import Any

NAME = "csg405_program"  # of the module; `__main__` would start the program as a whole
_POISONED = re.compile(r"CUDA|CUBLAS|CUDNN|HIP error|OutOfMemory|MemoryError", re.IGNORECASE)


def main() -> int:
    jobs_end, answers_end, cut = int(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])
    for end in (jobs_end, answers_end):
        os.set_inheritable(end, False)  # or a child of the program would keep them open
    program: Program | None = None
    with open(jobs_end, encoding="utf-8") as jobs, open(answers_end, "w", encoding="utf-8") as answers:
        for line in jobs:
            job = json.loads(line)
            _log_to(job["log"])
            sys.argv = list(job["command"])
            status, last = 0, True
            try:
                program = program or Program(cut)
                program.film()
                last = False
            except BaseException as error:  # noqa: BLE001 - whatever ends a clip is told, and does not end the others
                status = _told(error)
                last = program is None or bool(_POISONED.search(f"{type(error).__name__}: {error}"))
            with contextlib.suppress(BrokenPipeError):
                answers.write(json.dumps({"status": status, "last": last}) + "\n")
                answers.flush()
            if last:
                return status
    return 0


class Program:
    """The program that `sys.argv` names, with its weights open.

    Raises:
        SystemExit: it is another program than is known.
    """

    def __init__(self, cut: dict[str, Any]) -> None:
        path = Path(sys.argv[0]).absolute()
        try:
            outside, opening, again, clip = _parts(ast.parse(path.read_text("utf-8"), str(path)), cut)
            codes = [_compiled(part, path) for part in (outside, opening, again, clip)]
        except (_Unknown, SyntaxError) as error:
            known = f"csg405: {path.name} is another version than is known here ({error}); --keep-open false runs it clip by clip"
            raise SystemExit(known) from None
        module = types.ModuleType(NAME)
        module.__dict__["__file__"] = str(path)
        sys.modules[NAME] = module
        self._scope = module.__dict__
        sys.path[0] = str(path.parent)
        self._again, self._clip = codes[2:]
        for code in codes[:2]:
            exec(code, self._scope)  # noqa: S102 - the user's own checkout
        self._opened, self._random = dict(self._scope), _random_state()

    def film(self) -> None:
        """Run what is left of the program, with the arguments of today's job."""
        try:
            exec(self._again, self._scope)  # noqa: S102
            _set_random_state(*self._random)
            exec(self._clip, self._scope)  # noqa: S102
        finally:
            self._scope.clear()
            self._scope.update(self._opened)
            gc.collect()
            if torch := _torch():
                torch.cuda.empty_cache()


class _Unknown(Exception):
    """Raised for a program that cannot be cut where it should be."""


def _parts(tree: ast.Module, cut: dict[str, Any]) -> tuple[list[ast.stmt], ...]:
    """What stands outside the program's main part; of that, what opens the weights, what of it is run again, and the rest."""
    guards = [part for part in tree.body if isinstance(part, ast.If) and _is_guard(part)]
    outside = [part for part in tree.body if part not in guards]
    if cut["within"]:
        mains = [part.body for part in outside if isinstance(part, ast.FunctionDef) and part.name == cut["within"]]
    else:
        mains = [part.body for part in guards]
    if len(mains) != 1:
        raise _Unknown(f"it has no {cut['within'] or '__main__'}")
    [body] = mains
    places = [n for n, part in enumerate(body) if cut["opened"] in _assigned(part)]
    if not places:
        raise _Unknown(f"it assigns no {cut['opened']}")
    opening, clip = body[: places[-1] + 1], body[places[-1] + 1 :]
    again = [part for part in opening if _assigned(part) & set(cut["again"])]
    lacking = set(cut["again"]) - {name for part in again for name in _assigned(part)}
    if lacking:
        raise _Unknown(f"it assigns no {', '.join(sorted(lacking))} before {cut['opened']}")
    return outside, opening, again, clip


def _is_guard(part: ast.If) -> bool:
    """Whether it is `if __name__ == "__main__":`."""
    return [node.id for node in ast.walk(part.test) if isinstance(node, ast.Name)] == ["__name__"]


def _assigned(part: ast.stmt) -> set[str]:
    """The names that a statement itself assigns."""
    targets = part.targets if isinstance(part, ast.Assign) else [part.target] if isinstance(part, ast.AnnAssign) else []
    return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}


def _compiled(body: list[ast.stmt], path: Path) -> types.CodeType:
    return compile(ast.Module(body, []), str(path), "exec", dont_inherit=True)


def _log_to(path: str) -> None:
    """Let all that this process and its children say go into a file."""
    log = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    for end in (1, 2):
        os.dup2(log, end)
    os.close(log)


def _told(error: BaseException) -> int:
    """Say an error as Python does at the end of a program; returns the status that it would end with."""
    if not isinstance(error, SystemExit):
        traceback.print_exception(type(error), error, error.__traceback__)
        return 1
    if error.code is None or isinstance(error.code, int):
        return int(error.code or 0)
    sys.stderr.write(f"{error.code}\n")
    return 1


def _torch() -> Any:
    return sys.modules.get("torch")


def _random_state() -> tuple[Any, ...]:
    """Of every generator that a program may draw from without naming one."""
    numpy, torch = sys.modules.get("numpy"), _torch()
    return (
        random.getstate(),
        numpy.random.get_state() if numpy else None,
        torch.get_rng_state() if torch else None,
        torch.cuda.get_rng_state_all() if torch and torch.cuda.is_initialized() else None,
    )


def _set_random_state(plain: Any, arrays: Any, tensors: Any, gpus: Any) -> None:
    random.setstate(plain)
    if arrays is not None:
        sys.modules["numpy"].random.set_state(arrays)
    if tensors is not None:
        _torch().set_rng_state(tensors)
    if gpus is not None:
        _torch().cuda.set_rng_state_all(gpus)


if __name__ == "__main__":
    sys.exit(main())
