"""The account of availability as JSON, CSV and terminal lines."""

import csv
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

from pipeline.base.reasons import Reason
from pipeline.views.availability.account import BLOCKED, DEAD, MEANING, NEVER, STATES, UNKNOWN, UNUSABLE, Account

FOLDER = "availability"
JSON, ROWS, PAGE = (f"{FOLDER}/{name}" for name in ("availability.json", "rows.csv", "index.html"))


def sentence(code: str) -> str:
    """A reason in words; the code itself when it is from another version."""
    try:
        return Reason.of(code).sentence
    except KeyError:
        return code


def as_json(account: Account) -> str:
    """`availability.json`: counts of everything, nothing a row."""
    content = {
        "run": account.run,
        "manifest": account.manifest or None,
        "bad_lines": account.bad_lines,
        "videos": {"total": len(account.sources), "states": _ordered(account.videos)},
        "clips": {"total": account.clips.total(), "states": _ordered(account.clips), "samples": _ordered(account.kept)},
        "reasons": {
            state: {code: {"videos": count, "text": sentence(code)} for code, count in reasons.most_common()}
            for state, reasons in account.reasons.items()
        },
        "speech_types": {name: _ordered(states) for name, states in account.types.items()},
        "found_on": {day: _ordered(states) for day, states in account.days.items()},
        "last_looked_on": {day: _ordered(states) for day, states in account.last_looked.items()},
        "meaning": MEANING,
    }
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def _ordered(states: Counter[str]) -> dict[str, int]:
    return {state: states[state] for state in STATES if states[state]}


def as_csv(account: Account) -> str:
    """`rows.csv`: a row a source."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(
        ("source", "video_id", "state", "reason", "detail", "day", "seen_by", "speech_type", "clips", "samples")
    )
    for one in account.sources:
        seen = one.evidence
        cells = (one.source, one.video_id, seen.state, seen.reason, seen.detail, seen.day, seen.by, one.speech_type)
        table.writerow((*(_inert(cell) for cell in cells), one.clips, one.kept))
    return text.getvalue()


def _inert(cell: str) -> str:
    """Text that a spreadsheet does not take for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell


def summary(run: Path) -> list[str]:
    """Lines for a terminal about the account that the stage `availability` left in the run; how to get one when there is none."""
    try:
        content = json.loads((run / JSON).read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return [f"no account of {run} yet: run the stage `availability`"]
    videos, clips = content["videos"], content["clips"]
    lines = [_line("videos", videos["total"], videos["states"])]
    lines += [f"{'':>14}{count:>9,}  {code}: {text}" for count, code, text in _causes(content)]
    if clips["total"]:
        lines.append(_line("clips", clips["total"], clips["states"]))
    if stay := sum(clips["samples"].get(state, 0) for state in (DEAD, BLOCKED)):
        lines.append(f"{stay:,} clips of dead or blocked videos are in the data set: their measures and skeletons stay")
    if content["bad_lines"]:
        lines.append(f"{content['bad_lines']:,} lines of {content['manifest']} hold no link")
    if days := list(content["last_looked_on"]):
        lines.append(f"last looked: {days[0]} to {days[-1]}" if len(days) > 1 else f"last looked: {days[0]}")
    if videos["states"].get(NEVER) or videos["states"].get(UNKNOWN) or videos["states"].get(BLOCKED):
        lines.append("`csg405 availability --probe` asks for those that nobody could tell of")
    lines += [f"page: {(run / PAGE).resolve().as_uri()}", f"rows: {run / ROWS}"]
    return lines


def _line(what: str, total: int, states: dict[str, int]) -> str:
    shares = ", ".join(f"{count:,} {state} ({100 * count / total:.1f} %)" for state, count in states.items())
    return f"{what:>6} {total:>9,}: {shares or 'none'}"


def _causes(content: dict[str, Any]) -> list[tuple[int, str, str]]:
    reasons = [
        (entry["videos"], code, entry["text"])
        for state in (DEAD, UNUSABLE, BLOCKED, UNKNOWN)
        for code, entry in content["reasons"].get(state, {}).items()
    ]
    return sorted(reasons, reverse=True)
