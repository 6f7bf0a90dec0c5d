"""Paced requests to a site: in turn, repeated after throttling, and stopped by a bot wall."""

import logging
from collections.abc import Callable
from typing import TypeVar

from pipeline.base.reasons import Failure, Reason, ReasonClass, Reject
from pipeline.sources.web.errors import outcome_of, retry_after_of
from pipeline.sources.web.pace import Gate, wall_text
from pipeline.sources.web.settings import Web

log = logging.getLogger(__name__)

T = TypeVar("T")


def patiently(gate: Gate | None, host: str, web: Web, call: Callable[[], T]) -> T:
    """Make a paced request and return what `call` returns.

    Args:
        gate: the driver's pace; None asks at once, and gives up at the first throttle or bot wall.
        host: whose turn it takes, by `pipeline.base.links.pace_host`.
        web: how often to try again. The pauses themselves are the driver's: they hold for all workers.
        call: asks the site once.

    Raises:
        Reject, Failure: by `pipeline.sources.web.errors`; Failure(BOT_WALL) says what to do.
    """
    if gate is None:
        return _once(host, call)
    throttles = 0
    while True:
        gate.turn(host)
        try:
            answer = call()
        except Exception as error:
            outcome = outcome_of(error)
            if _held_back(gate, host, outcome):
                continue
            if outcome.reason is Reason.THROTTLED:
                pause = gate.throttled(host, retry_after_of(error))
                if throttles < web.throttle_retries:
                    throttles += 1
                    log.info("%s throttles, pause of %.0f s (%s)", host, pause, outcome.detail)
                    continue
            elif outcome.reason.kind in (ReasonClass.LATER, ReasonClass.BUG):
                gate.done(host)
            else:
                gate.fine(host)
            raise outcome from error
        except BaseException:
            gate.done(host)
            raise
        gate.fine(host)
        return answer


def _once(host: str, call: Callable[[], T]) -> T:
    try:
        return call()
    except Exception as error:
        raise _told(outcome_of(error), host) from error


def _held_back(gate: Gate, host: str, outcome: Reject | Failure) -> bool:
    """Whether a request met a bot wall, its own or another's, so that its outcome means nothing: its turn comes again."""
    if outcome.reason is Reason.BOT_WALL:
        gate.bot_wall(host, outcome.detail)
        log.warning("%s: a bot wall (%s)", host, outcome.detail)
        return True  # the next turn comes after the cool-down, or never and says so
    if gate.is_shut(host):  # requests of this call were held back
        gate.done(host)
        return True
    return False


def _told(outcome: Reject | Failure, host: str) -> Reject | Failure:
    """The outcome, with what to do about it where it is a bot wall."""
    if outcome.reason is Reason.BOT_WALL:
        return Failure(Reason.BOT_WALL, wall_text(host, outcome.detail))
    return outcome
