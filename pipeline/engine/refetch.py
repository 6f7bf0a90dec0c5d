"""Units that have rows and are to be made anew, but whose source was freed: found by planning, for no outcome says it."""

from collections.abc import Collection

from pipeline.engine.inputs import SOURCES, made_before
from pipeline.engine.plan import plan
from pipeline.engine.session import Session
from pipeline.engine.stage import Reads, Stage
from pipeline.engine.stage_nets import net_hashes
from pipeline.registry.models import MissingModel
from pipeline.tables.arrow import numbers
from pipeline.tables.retry import however_lost


def wanted_again(session: Session, stages: Collection[str] = ()) -> set[str]:
    """The videos of pending units that have a result already, of stages that read sources.

    Args:
        session: whose run it is.
        stages: names of stages, or none for all of the profile.
    """
    found: set[str] = set()
    with however_lost(session.store):
        for name in session.profile.all_stages:
            stage = session.profile.stage(name)
            if (not stages or name in stages) and any(_is_source(reads) for reads in stage.reads):
                found |= _of(stage, session)
    return found


def _is_source(reads: Reads) -> bool:
    return reads.kind == SOURCES and "path" in reads.columns


def _of(stage: Stage, session: Session) -> set[str]:
    try:
        work = plan(stage, session.store, net_hashes(stage, session.models.looking()))
    except MissingModel:
        return set()
    made = made_before(stage, session.store, work)
    sources = [item for item in work.inputs if _is_source(item.reads)]
    return {video for item in sources for video in item.table["video_id"].take(numbers(item.rows_of(made))).to_pylist()}
