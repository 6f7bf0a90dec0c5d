"""The ledger of a rebuild: the outcome of every row of a manifest."""

from typing import TYPE_CHECKING, NamedTuple

from pipeline.base.reasons import Reason, ReasonClass
from pipeline.sources.manifest.listed import Manifest
from pipeline.sources.manifest.rows import ManifestRow, Problem, place

if TYPE_CHECKING:
    from pipeline.base.units import Row
    from pipeline.tables.store import Store

LIVE, DEAD, BLOCKED, UNWANTED, BAD, UNKNOWN = "live", "dead", "blocked", "unwanted", "bad", "unknown"

_STATUS = {
    ReasonClass.DEAD: DEAD,
    ReasonClass.BLOCKED: BLOCKED,
    ReasonClass.UNWANTED: UNWANTED,
    ReasonClass.BAD: BAD,
    ReasonClass.LATER: UNKNOWN,
    ReasonClass.BUG: UNKNOWN,
}


class RowState(NamedTuple):
    """The outcome of one row.

    Attributes:
        line: as in the manifest.
        name: of the clip; "" where the row is bad.
        video_id: likewise.
        status: `live` (its video is here and the clip lies in it), `dead`, `blocked`, `unwanted`, `bad` or `unknown`.
        reason: code; "" where nothing speaks against it. A live row has one when a later stage dropped its clip.
        detail: in one line.
        clip_id: of a live row, else "".
        sample: whether a sample of it is there.
    """

    line: int
    name: str
    video_id: str
    status: str
    reason: str
    detail: str
    clip_id: str = ""
    sample: bool = False


def ledger(manifest: Manifest, store: "Store") -> list[RowState]:
    """Every row with its outcome so far, in order of its line: what `videos` says of its video, then its clip's fate."""
    states = [RowState(line, "", "", BAD, Reason.BAD_ROW.code, text) for line, text in manifest.bad.items()]
    videos = {
        row["video_id"]: row for row in store.read("videos", ["video_id", "grid_frames", "width", "height"]).to_pylist()
    }
    refused = _refusals(store, "videos")
    later = _Later(store)
    for video_id, rows in manifest.by_video().items():
        video = videos.get(video_id)
        for row in rows:
            states.append(_unfetched(row, refused) if video is None else _placed(row, video, later))
    return sorted(states)


def _unfetched(row: ManifestRow, refused: dict[str, tuple[str, str]]) -> RowState:
    reason, detail = refused.get(row.url or row.video_id, ("", "not fetched yet"))
    status = _STATUS[Reason.of(reason).kind] if reason else UNKNOWN
    return RowState(row.line, row.name, row.video_id, status, reason, detail)


def _placed(row: ManifestRow, video: "Row", later: "_Later") -> RowState:
    placed = place(row, video)
    if isinstance(placed, Problem):
        return RowState(row.line, row.name, row.video_id, BAD, placed.reason.code, placed.detail)
    clip_id = placed["clip_id"]
    sample = clip_id in later.samples
    reason, detail = ("", "") if sample else later.why_not(clip_id)
    return RowState(row.line, row.name, row.video_id, LIVE, reason, detail, clip_id, sample)


class _Later:
    """What the stages after the clips' own said, by clip."""

    def __init__(self, store: "Store") -> None:
        self.samples = set(store.read("samples", ["clip_id"])["clip_id"].to_pylist())
        self._refused = [_refusals(store, kind) for kind in ("persons", "pose_measures", "samples")]
        self._verdicts: dict[str, tuple[str, str]] = {}
        for row in store.read("verdicts", ["clip_id", "keep", "reasons", "details"]).to_pylist():
            if not row["keep"] and row["reasons"]:
                self._verdicts[row["clip_id"]] = row["reasons"][0], "; ".join(row["details"] or [])

    def why_not(self, clip_id: str) -> tuple[str, str]:
        """(reason, detail) of the first stage that dropped the clip; empty when none has."""
        for refused in self._refused:
            if clip_id in refused:
                return refused[clip_id]
        return self._verdicts.get(clip_id, ("", ""))


def _refusals(store: "Store", kind: str) -> dict[str, tuple[str, str]]:
    """(reason, detail) of the units of a kind that brought nothing, those of persons under their clip."""
    outcomes = store.outcomes(kind).select(["unit", "reason", "detail"]).to_pylist()
    return {
        o["unit"].partition("#")[0] if kind == "samples" else o["unit"]: (o["reason"], o["detail"])
        for o in outcomes
        if o["reason"]
    }
