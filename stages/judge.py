"""Who is kept: thresholds over stored measures, every reason named, people's overrides honoured."""

import csv
import logging
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

from pydantic import Field

from pipeline.base.reasons import Reason
from pipeline.base.units import Row
from pipeline.engine.settings import SWITCHABLE, Settings, runtime
from pipeline.engine.stage import Reads, Resources, Stage
from pipeline.engine.thresholds import Threshold, at_least, at_most, thresholds
from pipeline.engine.unit import Unit
from pipeline.tables.kinds import KINDS

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

Share = Annotated[float | None, Field(ge=0, le=1), SWITCHABLE]
Limit = Annotated[float | None, SWITCHABLE]


class Thresholds(Settings):
    """Every threshold of `judge` with its default; "off" switches one off.

    A new one is a field here. What it looks at is a column of a kind that judge reads; a profile in which it must not drop
    anybody, such as `rebuild`, has to switch it off if it is on by default.
    """

    # the skeleton
    min_seen_share: Share = at_least(
        "seen_share", 0.9, Reason.TRACK_TOO_SHORT, "share of the clip's frames in which the person is seen"
    )
    min_upper_body_share: Share = at_least(
        "upper_body_share",
        0.8,
        Reason.UPPER_BODY_INCOMPLETE,
        "share of frames with nose, shoulders and elbows all scored",
    )
    min_wrists_share: Share = at_least(
        "wrists_share", None, Reason.UPPER_BODY_INCOMPLETE, "share of frames with both wrists scored"
    )
    min_hand_seen_share: Share = at_least(
        "hand_seen_share", 0.5, Reason.HANDS_NOT_SEEN, "share of frames with at least one hand scored"
    )
    min_both_hands_share: Share = at_least(
        "both_hands_share", None, Reason.HANDS_NOT_SEEN, "share of frames with both hands scored"
    )
    min_face_seen_share: Share = at_least(
        "face_seen_share", 0.8, Reason.FACE_NOT_SEEN, "share of frames with the face scored"
    )
    max_yaw_degrees: Limit = at_most(
        "yaw_degrees", 50.0, Reason.SIDE_VIEW, "median turn from the camera, degrees; 90 is a profile"
    )
    max_back_share: Share = at_most(
        "back_share", 0.3, Reason.BACK_VIEW, "share of frames in which the person is seen from the back"
    )
    # the figure
    min_shoulder_width_px: Limit = at_least(
        "shoulder_width_px", 60.0, Reason.FIGURE_TOO_SMALL, "median shoulder width, source pixels"
    )
    min_shoulder_width_share: Share = at_least(
        "shoulder_width_share", None, Reason.FIGURE_TOO_SMALL, "median shoulder width, share of the picture's width"
    )
    min_box_height_px: Limit = at_least(
        "box_height_px", 220.0, Reason.FIGURE_TOO_SMALL, "median height of the person's box, source pixels"
    )
    min_box_height_share: Share = at_least(
        "box_height_share", None, Reason.FIGURE_TOO_SMALL, "median height of the person's box, share of the picture's"
    )
    min_crop_side_px: Annotated[int | None, SWITCHABLE] = at_least(
        "crop_side_px", 200, Reason.CROP_TOO_SMALL, "side of the crop, source pixels; it is enlarged to 512"
    )
    # motion
    min_wrist_speed_median: Limit = at_least(
        "wrist_speed_median", None, Reason.STATIC_POSE, "median wrist speed, shoulder widths a second"
    )
    min_wrist_speed_p95: Limit = at_least(
        "wrist_speed_p95", 0.4, Reason.STATIC_POSE, "95th percentile of wrist speed, shoulder widths a second"
    )
    min_arm_range: Limit = at_least(
        "arm_range", 0.15, Reason.STATIC_POSE, "how far wrists or elbows get about, shoulder widths"
    )
    max_jitter: Limit = at_most("jitter", 0.03, Reason.JITTERY, "high-frequency residual of the body, shoulder widths")
    max_camera_motion: Limit = at_most(
        "camera_motion", 0.25, Reason.CAMERA_MOVES, "95th percentile, picture widths a second"
    )
    max_repeated_frames: Share = at_most(
        "repeated_frames", 0.2, Reason.REPEATED_FRAMES, "share of pictures that repeat the one before"
    )
    # the picture
    max_another_person_share: Share = at_most(
        "another_person_share", 0.1, Reason.ANOTHER_PERSON, "share of frames with someone else's head in the crop"
    )
    min_face_sharpness: Limit = at_least(
        "face_sharpness", 15.0, Reason.BLURRED_FACE, "variance of the face's Laplacian, grey levels^2"
    )
    # the sound
    require_audio: bool = Field(True, description="drop clips without a sound track")
    max_silence_share: Share = at_most(
        "silence_share", 0.8, Reason.SILENT, "share of 20-ms frames under -60 dBFS", "sound_measures"
    )
    min_loudness_dbfs: Limit = at_least(
        "loudness_dbfs", -55.0, Reason.SILENT, "root mean square of the clip, dBFS", "sound_measures"
    )
    min_speech_share: Share = at_least(
        "speech_share", 0.4, Reason.NO_SPEECH, "share of the clip that is heard as speech", "sound_measures"
    )
    max_longest_pause_seconds: Limit = at_most(
        "longest_pause_seconds", None, Reason.NO_SPEECH, "longest span without speech, seconds", "sound_measures"
    )
    max_clipped_share: Share = at_most(
        "clipped_share", 0.01, Reason.CLIPPED_SOUND, "share of samples at full scale", "sound_measures"
    )
    max_overlap_share: Share = at_most(
        "overlap_share",
        0.02,
        Reason.OVERLAPPED_SPEECH,
        "share of the clip in which several people speak at once",
        "overlaps",
    )
    max_longest_overlap_seconds: Limit = at_most(
        "longest_overlap_seconds",
        None,
        Reason.OVERLAPPED_SPEECH,
        "longest span in which several people speak, seconds",
        "overlaps",
    )
    max_voices: Annotated[int | None, SWITCHABLE] = at_most(
        "voices", None, Reason.OVERLAPPED_SPEECH, "different voices within ten seconds", "overlaps"
    )
    # lips and sound
    min_lip_confidence: Limit = at_least(
        "lip_confidence",
        3.0,
        Reason.LIPS_DO_NOT_MATCH,
        "SyncNet's confidence that lips and sound belong together",
        "lip_syncs",
    )
    max_lip_distance: Limit = at_most(
        "lip_distance", None, Reason.LIPS_DO_NOT_MATCH, "SyncNet's distance of lips and sound", "lip_syncs"
    )
    max_lip_offset_left_frames: Limit = at_most(
        "lip_offset_left_frames",
        3.0,
        Reason.LATE_SOUND,
        "offset of sound and lips, after a repair if there was one, frames of 40 ms",
        "lip_syncs",
    )


CHECKS = thresholds(Thresholds)
# What is read beside the measures that have a threshold.
_MORE = {
    "pose_measures": ("worst_joint", "worst_joint_share", "clips_person", "manifest_overlap"),
    "sound_measures": ("has_audio",),
    "overlaps": (),
    "lip_syncs": (),
}
_OF_SOUND = ("sound_measures", "overlaps", "lip_syncs")  # not asked of clips without sound
_COSTLY = ("overlaps", "lip_syncs")  # not measured of people whom the cheap measures drop: see `pipeline.engine.gate`
_COSTLY_MEASURES = {name for kind in _COSTLY for name in KINDS[kind].schema.names}


def _reads(kind: str) -> Reads:
    measures = (check.measure for check in CHECKS if check.kind == kind)
    return Reads(kind, (KINDS[kind].key, *_MORE[kind], *measures))


class Judge(Thresholds, Stage):
    """Thresholds over stored measures. A null measure is listed, not held against a person.

    Whom a manifest does not mean is dropped whatever the thresholds say.
    """

    name: ClassVar[str] = "judge"
    version: ClassVar[int] = 2
    summary: ClassVar[str] = "thresholds over stored measures: who is kept, and every reason against the others"
    reads: ClassVar[tuple[Reads, ...]] = (
        Reads("persons", ("person_id", "clip_id", "video_id")),
        *map(_reads, _MORE),
    )
    writes: ClassVar[str] = "verdicts"
    resources: ClassVar[Resources] = Resources(one_worker=True)

    # what is not known, and what people said
    require_measured: tuple[str, ...] = Field(
        ("upper_body_share",), description="measures without which a person is dropped; others may be missing"
    )
    overrides: Path | None = Field(
        None,
        description="CSV of people's decisions: id (person, clip or video), verdict (keep or drop), who, why",
        json_schema_extra=runtime(),  # where the file lies changes nothing; what it says is in `result_settings`
    )

    def result_settings(self) -> dict[str, Any]:
        """The settings, and what the overrides file says."""
        return {**super().result_settings(), "overrides": [vars(o) for o in read_overrides(self.overrides)]}

    def process(self, unit: Unit) -> Iterator[Row]:
        persons = unit.rows("persons")
        if not persons:
            return
        table = _joined(unit)
        found = self._found(table)
        overrides = {o.id: o for o in read_overrides(self.overrides)}
        _warn_of_strangers(overrides, persons)
        for i, person in enumerate(persons):
            reasons, details = [r.code for r in found.reasons[i]], list(found.reasons[i].values())
            override = _override_of(person, overrides)
            if override and override.verdict == "drop":
                reasons.append(Reason.OVERRIDDEN.code)
                details.append(f"dropped by {override.who or 'someone'}: {override.why or 'no reason given'}")
            yield {
                "person_id": person["person_id"],
                "clip_id": person["clip_id"],
                "video_id": person["video_id"],
                "keep": override.verdict == "keep" if override else not reasons,
                "reasons": reasons,
                "details": details,
                "unmeasured": found.unmeasured[i],
                "overridden": override is not None,
            }

    def _found(self, table: "pd.DataFrame") -> "_Found":
        found = _Found(len(table))
        for i in table["clips_person"].eq(False).fillna(False).to_numpy(bool).nonzero()[0]:
            found.add(i, Reason.NOT_THE_CLIPS_PERSON, _overlap(table["manifest_overlap"].iloc[i]))
        silent = table["has_audio"].eq(False).fillna(False).to_numpy(bool)
        if self.require_audio:
            for i in silent.nonzero()[0]:
                found.add(i, Reason.NO_AUDIO, "has_audio false")
        for check in CHECKS:
            limit = getattr(self, check.setting)
            if limit is None:
                continue
            values = table[check.measure].to_numpy("float64", na_value=float("nan"))
            applies = ~silent if check.kind in _OF_SOUND else silent | True
            for i in (applies & check.fails(values, limit)).nonzero()[0]:
                found.add(i, check.reason, _detail(check, values[i], limit, table, i))
            for i in (applies & (values != values)).nonzero()[0]:
                found.unmeasured[i].append(check.measure)
        self._demand(table, found)
        return found

    def _demand(self, table: "pd.DataFrame", found: "_Found") -> None:
        for measure in self.require_measured:
            if measure not in table:
                raise ValueError(f"require_measured names {measure!r}, which is no measure that judge reads")
            costly = measure in _COSTLY_MEASURES
            for i in table[measure].isna().to_numpy().nonzero()[0]:
                if not (costly and found.reasons[i]):  # nobody measures at great cost whom something else drops
                    found.add(i, Reason.NOT_MEASURED, f"{measure} is not known")


class _Found:
    """What speaks against each person: reason -> detail in the order found, and what could not be looked at."""

    def __init__(self, persons: int) -> None:
        self.reasons: list[dict[Reason, str]] = [{} for _ in range(persons)]
        self.unmeasured: list[list[str]] = [[] for _ in range(persons)]

    def add(self, person: int, reason: Reason, detail: str) -> None:
        reasons = self.reasons[person]
        reasons[reason] = f"{reasons[reason]}; {detail}" if reason in reasons else detail


def _joined(unit: Unit) -> "pd.DataFrame":
    """One row a person, in the order of `persons`, with all measures; NaN where a measure is not there."""
    import pandas as pd

    table = pd.DataFrame(unit.rows("persons"), columns=["person_id", "clip_id", "video_id"])
    for reads in map(_reads, _MORE):
        key = KINDS[reads.kind].key
        measures = pd.DataFrame(unit.rows(reads.kind), columns=list(reads.columns)).drop_duplicates(key)
        table = table.merge(measures, on=key, how="left")
    return table


def _overlap(share: float | None) -> str:
    """Why the manifest does not mean somebody."""
    if share is None or share != share:
        return "the manifest gives no crop, and another person is larger"
    return (
        f"manifest_overlap {share:.2f}, and more of another person's box lies in the manifest's crop, or none of this"
    )


def _detail(check: Threshold, value: float, limit: float, table: "pd.DataFrame", row: int) -> str:
    """`shoulder_width_px 38.2 px < 60`."""
    text = " ".join(filter(None, (check.measure, f"{value:.4g}", check.unit, check.sign, f"{limit:g}")))
    worst = table["worst_joint"].iloc[row] if check.measure == "upper_body_share" else None
    if isinstance(worst, str) and worst:
        text += f" ({worst} seen in {table['worst_joint_share'].iloc[row]:.0%})"
    return text


@dataclass(frozen=True)
class Override:
    """What a person decided about a person, a clip or a video."""

    id: str
    verdict: Literal["keep", "drop"]
    who: str
    why: str


def read_overrides(path: Path | None) -> list[Override]:
    """The overrides of a CSV file with the columns id, verdict, who, why, sorted by id; the last line about an id wins.

    Raises:
        ValueError: a line is not understood; the message names file and line.
        FileNotFoundError: there is no such file.
    """
    if path is None:
        return []
    found = {}
    with path.open(newline="", encoding="utf-8-sig") as file:
        reader = csv.DictReader(file)
        if not {"id", "verdict"} <= set(reader.fieldnames or ()):
            raise ValueError(f"{path}: line 1: the columns must be id, verdict, who, why")
        for line in reader:
            values = {key: (value or "").strip() for key, value in line.items() if isinstance(key, str)}
            verdict = values["verdict"].lower()
            if not values["id"] or verdict not in ("keep", "drop"):
                raise ValueError(f"{path}: line {reader.line_num}: needs an id, and keep or drop, not {verdict!r}")
            decided: Literal["keep", "drop"] = "keep" if verdict == "keep" else "drop"
            found[values["id"]] = Override(values["id"], decided, values.get("who", ""), values.get("why", ""))
    return [found[id] for id in sorted(found)]


def _override_of(person: Row, overrides: dict[str, Override]) -> Override | None:
    """The most specific one: about the person, else the clip, else the video."""
    return next((overrides[id] for id in _ids(person) if id in overrides), None)


def _ids(person: Row) -> tuple[str, str, str]:
    return person["person_id"], person["clip_id"], person["video_id"]


def _warn_of_strangers(overrides: dict[str, Override], persons: list[Row]) -> None:
    if strangers := set(overrides) - {id for person in persons for id in _ids(person)}:
        log.warning("%d overrides name nobody in this run, for example %s", len(strangers), min(strangers))


if __name__ == "__main__":
    from pipeline.cli.main import stage_main

    stage_main("judge")
