"""How the command line prints funnels, stories and lists; the only place that knows rich's tables."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click
from rich.cells import set_cell_size
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from pipeline.base.progress import duration, size
from pipeline.base.reasons import Reason
from pipeline.base.text import printable
from pipeline.engine.dry_run import Outlook
from pipeline.registry.models import MissingModel, Registry
from pipeline.tables.kinds import KINDS
from pipeline.views.overview import Chapter, StageState, per_100_hours, sentence
from pipeline.views.packed import Packed
from pipeline.views.table_one import HEADS as COLUMNS
from pipeline.views.table_one import PUBLISHED
from pipeline.views.verdicts import Kept

if TYPE_CHECKING:
    from pipeline.engine.works import Work  # it compares sounds

TABLE_ONE, TABLE_ONE_BROKEN = 104, 76  # columns that the paper's table takes, in one line a row and in more
WIDTH = 132  # columns of a log file or a pipe


def _console() -> Console:
    """A console; where no terminal says how wide it is, wide enough for every column."""
    console = Console()
    return console if console.is_terminal else Console(width=WIDTH)


COUNTS = ("units", "ok", "rejected", "failed", "pending")
MORE = ("hours", "rate", "left", "tables")


def print_funnel(run: Path, states: list[StageState], folders: dict[str, int]) -> None:
    """One line a stage, its reasons below it; stages of other stores than the run's own below the name of theirs."""
    console = _console()
    console.print(str(run), style="italic", markup=False)
    for table in _fitting(console, states):
        console.print(table)
    for words in _notes(states):
        console.print(words, style="yellow", markup=False, soft_wrap=not console.is_terminal)
    for words in _sizes(states, folders):
        console.print(words, markup=False, soft_wrap=not console.is_terminal)


def _notes(states: list[StageState]) -> Iterator[str]:
    """What there is to see to."""
    for state in states:
        yield from (f"{state.stage}: {words}" for words in (state.note, state.old_reader) if words)
    freed = sum(state.reasons.get(Reason.SOURCE_DISCARDED.code, 0) + state.freed for state in states)
    if freed:
        yield f"{freed} units wait for a source that was freed: csg405 retry --refetch, then run crawl and the rest"
    if any(state.lost_files for state in states):
        of = ", ".join(f"{state.lost_files} of {state.stage}" for state in states if state.lost_files)
        yield f"files missing or changed: {of}; csg405 check tells more"


def _sizes(states: list[StageState], folders: dict[str, int]) -> Iterator[str]:
    """What the run takes on the disk, and what 100 h would."""
    if scaled := per_100_hours([state for state in states if not state.store], folders):
        cpu = scaled.pop("cpu_hours")
        sizes = ", ".join(f"{name} {size(count)}" for name, count in scaled.items())
        yield f"at this rate 100 h would take: {sizes}; {cpu:.3g} processor hours for 100 h of video"
    yield "on disk: " + ", ".join(f"{name} {size(count)}" for name, count in folders.items())


def _fitting(console: Console, states: list[StageState]) -> list[Table]:
    """The funnel in the widest form that loses nothing: a table, one with little room between its columns, or two."""
    for blanks in (2, 1):
        whole = _funnel(states, COUNTS + MORE, blanks)
        if console.measure(whole, options=console.options.update(width=1000)).maximum <= console.width:
            return [whole]
    halves = [_funnel(states, COUNTS, 1), _funnel(states, MORE, 1)]
    for half in halves:
        half.columns[0].no_wrap, half.columns[0].overflow = False, "fold"  # of names something may go to the next line
    return halves


def _funnel(states: list[StageState], heads: Sequence[str], blanks: int) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, blanks, 0, 0))
    table.add_column("stage", no_wrap=True)
    for name in heads:
        table.add_column(name, justify="right", no_wrap=True)
    store = ""
    for state in states:
        if state.store != store:
            store = state.store
            table.add_row(escape(store), style="bold")
        cells = dict(zip(COUNTS + MORE, [*_counts(state), *_more(state)], strict=True))
        table.add_row(state.stage, *(cells[name] for name in heads), style="" if not state.note else "dim")
        if "units" not in heads:
            continue
        for code, count in sorted(state.reasons.items(), key=lambda item: -item[1]):
            table.add_row(f"  {code}", "", "", str(count), style="dim")
        if state.unchosen:
            table.add_row("  held back", str(state.unchosen), style="dim")
    return table


def _counts(state: StageState) -> list[str]:
    return [
        "?" if state.units is None else str(state.units),
        str(state.ok),
        str(state.rejected),
        f"[red]{state.failed}[/red]" if state.failed else "0",
        f"[cyan]{state.pending}[/cyan]" if state.pending else "0",
    ]


def _more(state: StageState) -> list[str]:
    return [
        "" if state.hours is None else f"{state.hours:.3g}",
        "" if not state.rate else f"{state.rate:.3g}/s",
        "" if state.eta_seconds is None else duration(state.eta_seconds),
        size(state.bytes),
    ]


def print_kept(kept: Kept) -> None:
    """Who is kept and was before, and what the others are dropped for, with shares of all people."""
    click.echo(kept_line(kept))
    if not kept.reasons:
        return
    for code, count in kept.reasons.items():
        alone = f", {kept.alone[code]:,} by nothing else" if code in kept.alone else ""
        click.echo(f"{count:>8,}  {count / kept.people:>4.0%}  {code}{alone}")


def kept_sentence(kept: Kept) -> str:
    """The same in a sentence."""
    shares = ", ".join(f"{code} {count:,} ({count / kept.people:.0%})" for code, count in kept.reasons.items())
    return " ".join(filter(None, (kept_line(kept), shares)))


def kept_line(kept: Kept) -> str:
    """People, kept, dropped in a line."""
    was = f" (was {kept.before:,})" if kept.before is not None else ""
    people = "1 person" if kept.people == 1 else f"{kept.people:,} people"
    return f"{people}, kept {kept.kept:,}{was}, dropped {kept.dropped:,}" + (":" if kept.reasons else "")


def packed_sentence(packed: Packed) -> str:
    """What the shards cost that were written."""
    shards = "1 shard" if packed.shards == 1 else f"{packed.shards:,} shards"
    anew = f"{packed.anew:,} of {packed.samples:,} samples packed anew"
    return f"{shards} written, {size(packed.bytes)}: {anew}, {size(packed.copied)} copied as they were"


def print_data_set(row: tuple[str, ...]) -> None:
    """The run beside the data sets of the paper's table 1."""
    console = _console()
    if console.width < TABLE_ONE_BROKEN:
        for known in (row, *PUBLISHED):
            told = (f"{words} {head.lower()}" for head, words in zip(COLUMNS[1:], known[1:], strict=True))
            console.print(f"{printable(known[0])}: {', '.join(told)}", markup=False)
        return
    table = Table(box=None, pad_edge=False, header_style="bold")
    for head in COLUMNS:
        side: Literal["left", "right"] = "left" if head in (COLUMNS[0], COLUMNS[-1]) else "right"
        table.add_column(head.lower(), justify=side, no_wrap=console.width >= TABLE_ONE)
    table.add_row(*map(printable, row))
    for known in PUBLISHED:
        table.add_row(*known, style="dim")
    console.print(table)


def print_outlook(run: Path, stages: Iterable[Outlook]) -> None:
    """What a run would do, stage by stage, with the names of the first units."""
    console = _console()
    console.print(f"dry run of {run}: nothing is started, fetched or written", style="bold", markup=False)
    for stage in stages:
        console.print(f"{stage.stage:>16}  {_would_do(stage)}", markup=False, soft_wrap=True)
        if stage.note:
            console.print(f"{'':>18}{printable(stage.note)}", style="yellow", markup=False, soft_wrap=True)
        for name in stage.first:
            console.print(f"{'':>18}{printable(name)}", style="cyan", markup=False, soft_wrap=True)
        if stage.first and stage.pending > len(stage.first):
            console.print(f"{'':>18}... and {stage.pending - len(stage.first):,} more", style="cyan", markup=False)
        if stage.refused:
            console.print(f"{'':>18}{len(stage.refused):,} that cannot be used:", style="yellow", markup=False)
        for why in stage.refused.values():
            console.print(f"{'':>20}{printable(why)}", style="yellow", markup=False, soft_wrap=True)


def _would_do(stage: Outlook) -> str:
    more = f"; more may come of {', '.join(stage.after)}" if stage.after else ""
    if stage.whole and (stage.pending or stage.after):
        return "would look at the whole run" + (f" after {', '.join(stage.after)}" if stage.after else "")
    if not stage.units:
        return f"no units yet; they come of {', '.join(stage.after)}" if stage.after else "nothing to do (0 units)"
    if not stage.pending:
        return f"nothing to do ({stage.units:,} units){more}"
    return f"would do {stage.pending:,} of {stage.units:,} units{more}"


def print_story(unit: str, chapters: list[Chapter]) -> None:
    """Stage by stage: what came of the unit, and every measure with its unit of measurement."""
    console = _console()
    console.print(printable(unit), style="bold", markup=False)
    for chapter in chapters:
        _print_outcome(console, chapter)
        for row in chapter.rows:
            table = Table(box=None, show_header=False, padding=(0, 2, 0, 4))
            for _ in range(3):
                table.add_column(overflow="fold")
            for name, value in row.items():
                if value is not None:
                    unit_text = KINDS[chapter.kind].schema.field(name).metadata[b"unit"].decode()
                    table.add_row(name, escape(_value(value)), unit_text, style=_style(name, value))
            console.print(table)


def _print_outcome(console: Console, chapter: Chapter) -> None:
    outcome = chapter.outcome
    if not outcome:
        console.print(f"\n{chapter.kind}", style="bold", markup=False)
        return
    style = {"ok": "bold green", "rejected": "bold yellow", "failed": "bold red"}.get(outcome["status"], "bold")
    console.print(f"\n{outcome['stage']}: {outcome['status']}  {printable(outcome['unit'])}", style=style, markup=False)
    if outcome["reason"]:
        console.print(
            f"    {outcome['reason']}: {sentence(outcome['reason'])}; {printable(outcome['detail'])}", markup=False
        )
    if outcome["at"] is None:  # it was left out before anybody went for it
        return
    took = f"attempt {outcome['attempt']}, {outcome['wall_seconds']:.3g} s on {outcome['host']}, {outcome['at']:%Y-%m-%d %H:%M} UTC"
    nets = f", by {printable(outcome['nets'])}" if outcome.get("nets") else ""
    console.print(f"    {took}, {outcome['versions']}{nets}", style="dim", markup=False)


def _value(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        return "\n".join(printable(str(item)) for item in value) if value and isinstance(value[0], str) else str(value)
    return printable(str(value))


def _style(name: str, value: Any) -> str:
    return ("bold green" if value else "bold yellow") if name == "keep" else ""


def print_models(registry: Registry) -> None:
    """The registry: what each net is for, and whether it is on this machine."""
    console = _console()
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("net", "purpose", "size", "licence", "here"):
        table.add_column(name, overflow="fold")
    for name, entry in registry.entries.items():
        try:
            path = registry.find(name)
            here = str(registry.checked(name, path).path) if path else "-"
        except MissingModel as error:
            here = f"not pinned: {error}"
        except Exception as error:  # noqa: BLE001 - one bad file must not hide the list
            here = f"bad: {error}"
        if entry.builder and here == "-":
            here = "built when needed"
        table.add_row(name, entry.purpose, size(entry.bytes) if entry.bytes else "", entry.licence, escape(here))
    console.print(table)


def print_works(works: "Sequence[Work]", titles: Mapping[str, str]) -> None:
    """Works of a takedown with what they were found by, a line of 80 columns each; `like` of faces, or of what moves."""
    click.echo(f"{'work':<21}  {'by':<6}  {'bits':>5}  {'in common':>9}  {'share':>5}  {'like':>5}  title")
    for work in works:
        scores = (
            _number(work.bit_error, ".3f"),
            _number(work.seconds, ",.1f", " s"),
            _number(work.share, ".0%"),
            _number(work.likeness, ".2f"),
        )
        bits, seconds, share, face = scores
        title = set_cell_size(titles.get(work.video, "not in this run"), 17).rstrip()
        click.echo(f"{work.video:<21}  {work.how:<6}  {bits:>5}  {seconds:>9}  {share:>5}  {face:>5}  {title}".rstrip())


def _number(value: float | None, form: str, unit: str = "") -> str:
    return "" if value is None else f"{value:{form}}{unit}"
