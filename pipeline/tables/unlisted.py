"""Taking works that were taken down off the lists of opt-outs: the ledger refuses them, and a list would keep their ids."""

from collections.abc import Iterator
from pathlib import Path

from pipeline.base import files
from pipeline.base.damage import run_option
from pipeline.tables import opt_out, opt_out_seen, people


def unlist(run: Path, listed: str, works: frozenset[str]) -> list[str]:
    """Drop the lines of a run's list that name works alone, and do not miss them there; the ledger has to hold them.

    The hash of a work goes first: after a kill its line is there still, and neither a list nor a note is told to be damaged.

    Args:
        run: the run's folder.
        listed: the profile's list, which is not touched; "" for none.
        works: video ids.

    Returns: what names them still, and what to do about it: a line each.
    """
    own = run / opt_out.RUN_LIST
    dropped = {number for number, entry in _entries(own) if _names_alone(entry, works)}
    opt_out_seen.forget(run, works)
    if dropped:
        lines = own.read_text(encoding="utf-8-sig").splitlines()
        kept = [line for number, line in enumerate(lines, 1) if number not in dropped]
        files.write_text(own, "".join(f"{line}\n" for line in kept))
    again = (
        f"then `csg405 opt-out --let-in {run_option(run)}`: {opt_out.RUN_LIST} need not hold what the ledger refuses"
    )
    return [
        f"{path}, line {number} names a work that was taken down: delete the line, {again}"
        for path in dict.fromkeys((own, *([Path(listed)] if listed else [])))
        for number in _naming(path, works)
    ]


def _entries(path: Path) -> list[tuple[int, str]]:
    return opt_out.entries(path) if path.is_file() else []


def _names_alone(entry: str, works: frozenset[str]) -> bool:
    """Whether an entry names works and no channel: eleven characters may be both, and nobody is let in for that."""
    who = opt_out.parse(entry)
    return bool(who.videos) and who.videos <= works and not who.channels


def _naming(path: Path, works: frozenset[str]) -> Iterator[int]:
    """The lines of a list that name a work, in a comment too."""
    lines = path.read_text(encoding="utf-8-sig").splitlines() if path.is_file() else []
    named = {number for number, entry in _entries(path) if opt_out.parse(entry).videos & works}
    yield from sorted(named | {number for number, line in enumerate(lines, 1) if people.mentioned(line) & works})
