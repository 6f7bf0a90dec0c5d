"""Judges all persons of a run at once, a column at a time."""

from collections.abc import Iterator, Mapping

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.base.reasons import Reason
from pipeline.base.units import Row
from pipeline.engine.overrides import Override, override_of, read_overrides, tell_of
from pipeline.engine.stage import Context
from pipeline.engine.thresholds import Threshold
from pipeline.engine.unit import Unit
from pipeline.tables.hashing import flat, raw, valid
from pipeline.tables.kinds import KINDS
from pipeline.tables.opt_out import OptOut
from stages.judge import Judge
from stages.judge.copies import better_copies
from stages.judge.settings import CHECKS, MEASURES, JudgeSettings

_SCHEMA = KINDS["verdicts"].schema
_IDS = ["person_id", "clip_id", "video_id"]
_OF_SOUND = ("sound_measures", "overlaps", "lip_syncs")  # not asked of clips without sound
# Not measured of people whom the cheap measures drop: see `pipeline.engine.gate`.
_COSTLY = ("overlaps", "same_faces", "lip_syncs")
_COSTLY_MEASURES = {name for kind in _COSTLY for name in KINDS[kind].schema.names}

Measures = dict[str, pa.Array]  # each (persons,)


class Findings:
    """What speaks against each person.

    Attributes:
        reasons: for each person, reason -> detail, in the order of the checks.
        unmeasured: for each person, the measures with a limit that are null.
        copy_of: place of a person -> the video with a better copy of the clip.
    """

    def __init__(self, persons: int) -> None:
        self.reasons: list[dict[Reason, str]] = [{} for _ in range(persons)]
        self.unmeasured: list[list[str]] = [[] for _ in range(persons)]
        self.copy_of: dict[int, str] = {}

    def add(self, person: int, reason: Reason, detail: str) -> None:
        """Note a reason against a person; a second detail of one reason is joined to the first."""
        reasons = self.reasons[person]
        reasons[reason] = f"{reasons[reason]}; {detail}" if reason in reasons else detail


class JudgeWorker:
    """Turns the measures of a run into a verdict for each person.

    Args:
        settings: of the stage.
        opt_out: whose ids are not logged, though overrides still name them.
    """

    def __init__(self, settings: JudgeSettings, opt_out: OptOut | None = None) -> None:
        self._settings, self._opt_out = settings, opt_out

    def process(self, unit: Unit) -> Iterator[Row]:
        """Yield the verdicts, in the order of `persons`. Raises as `table`."""
        yield from self.table(unit).to_pylist()

    def table(self, unit: Unit) -> pa.Table:
        """The verdicts as columns, in the order of `persons`.

        Raises:
            ValueError: `require_measured` names an unknown measure, or a line of the overrides is not understood.
        """
        persons = unit.table("persons")
        if not len(persons):
            return _SCHEMA.empty_table()
        findings = self._findings(len(persons), _joined(unit))
        if self._settings.drop_twins:
            for i, twin, detail in better_copies(persons.select(_IDS).to_pylist(), unit.rows("twins")):
                findings.add(i, Reason.NEAR_DUPLICATE, detail)
                findings.copy_of[i] = twin
        return _verdicts(persons, findings, self._decided(persons))

    def _decided(self, persons: pa.Table) -> dict[int, Override]:
        """{place of a person: the decision about them}."""
        overrides = {override.id: override for override in read_overrides(self._settings.overrides)}
        if not overrides:
            return {}
        rows = persons.select(_IDS).to_pylist()
        tell_of(overrides, rows, self._opt_out)
        found = ((i, override_of(person, overrides)) for i, person in enumerate(rows))
        return {i: override for i, override in found if override}

    def _findings(self, persons: int, table: Measures) -> Findings:
        findings = Findings(persons)
        for i in np.flatnonzero(_is_false(table["clips_person"])).tolist():
            findings.add(i, Reason.NOT_THE_CLIPS_PERSON, _another_matched(table["manifest_overlap"][i].as_py()))
        silent = _is_false(table["has_audio"])
        if self._settings.require_audio:
            for i in np.flatnonzero(silent).tolist():
                findings.add(i, Reason.NO_AUDIO, "has_audio false")
        for check in CHECKS:
            limit = getattr(self._settings, check.setting)
            if limit is None:
                continue
            values = _floats(table[check.measure])
            applies = ~silent if check.kind in _OF_SOUND else np.ones_like(silent)
            for i in np.flatnonzero(applies & check.fails(values, limit)).tolist():
                findings.add(i, check.reason, _detail(check, values[i], limit, table, i))
            for i in np.flatnonzero(applies & np.isnan(values)).tolist():
                findings.unmeasured[i].append(check.measure)
        self._require_measured(table, findings)
        return findings

    def _require_measured(self, table: Measures, findings: Findings) -> None:
        for measure in self._settings.require_measured:
            if measure not in table:
                raise ValueError(f"require_measured names {measure!r}, which is no measure that judge reads")
            costly = measure in _COSTLY_MEASURES
            for i in pc.is_null(table[measure], nan_is_null=True).to_numpy(zero_copy_only=False).nonzero()[0]:
                if not (costly and findings.reasons[i]):  # the gate keeps costly measures from those dropped anyway
                    findings.add(i, Reason.NOT_MEASURED, f"{measure} is not known")


def _verdicts(persons: pa.Table, findings: Findings, decided: Mapping[int, Override]) -> pa.Table:
    """The rows of `verdicts`."""
    reasons = [[reason.code for reason in against] for against in findings.reasons]
    details = [list(against.values()) for against in findings.reasons]
    keep = [not against for against in reasons]
    for i, override in decided.items():
        keep[i] = override.verdict == "keep"
        if override.verdict == "drop":
            reasons[i].append(Reason.OVERRIDDEN.code)
            details[i].append(f"dropped by {override.who or 'someone'}: {override.why or 'no reason given'}")
    columns = {
        **{name: persons[name] for name in _IDS},
        "keep": keep,
        "reasons": reasons,
        "details": details,
        "unmeasured": findings.unmeasured,
        "overridden": [i in decided for i in range(len(keep))],
        "copy_of": [findings.copy_of.get(i) for i in range(len(keep))],
    }
    return pa.table(columns, _SCHEMA)


def _joined(unit: Unit) -> Measures:
    """All measures, in the order of `persons`; null where one is not there."""
    persons, columns = unit.table("persons"), Measures()
    for reads in MEASURES:
        key, measures = KINDS[reads.kind].key, unit.table(reads.kind)
        there = key in measures.column_names
        at = pc.index_in(flat(persons[key]), value_set=flat(measures[key])) if there else None
        for name in reads.columns:
            if name != key:
                known = there and name in measures.column_names
                columns[name] = flat(measures[name]).take(at) if known else pa.nulls(len(persons), pa.float64())
    return columns


def _floats(column: pa.Array) -> npt.NDArray[np.float64]:
    """(rows,) numbers, NaN where nothing is known."""
    values = column.cast(pa.float64())
    return np.where(valid(values), raw(values), np.nan)


def _is_false(column: pa.Array) -> npt.NDArray[np.bool_]:
    """(rows,) whether it is known, and false."""
    return np.asarray(valid(column) & (_floats(column) == 0), bool)


def _another_matched(overlap: float | None) -> str:
    """Why a manifest is matched to another person of the clip; `overlap` is the share of this one in its crop."""
    if overlap is None or overlap != overlap:
        return "the manifest gives no crop, and another person is larger"
    return (
        f"manifest_overlap {overlap:.2f}, and more of another person's box lies in the manifest's crop, or none of this"
    )


def _detail(check: Threshold, value: float, limit: float, table: Measures, row: int) -> str:
    """`shoulder_width_px 38.2 px < 60`."""
    text = check.words(value, limit)
    worst = table["worst_joint"][row].as_py() if check.measure == "upper_body_share" else None
    share = table["worst_joint_share"][row].as_py() if worst else None
    if share is not None and share == share:  # of a clip without frames no share is known
        text += f" ({worst} seen in {share:.0%})"
    return text


def open_worker(stage: Judge, context: Context) -> JudgeWorker:
    """What does the stage's work."""
    return JudgeWorker(stage, context.opt_out)
