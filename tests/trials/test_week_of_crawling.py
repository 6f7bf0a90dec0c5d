"""A small week of crawling: no host is asked faster than its pace or while it wants quiet, and nothing piles up."""

from typing import Any

import pytest

from pipeline.sources.web.pace import Pacer
from tests.trials.virtual_time import VirtualClock
from tests.trials.week_of_crawling import WORKERS, week


def test_a_week() -> None:
    seen = week(seed=405, links=2000)
    assert (seen["too_early"], seen["not_quiet"], seen["over_the_rate"]) == (0, 0, 0), seen
    assert seen["hours"] > 100 and seen["restarts"] >= 4 and seen["asked_for_quiet"] > 20
    assert sum(seen["outcomes"].values()) == 2000 and seen["outcomes"]["ok"] > 1900
    (first, last), (opened, left_open) = seen["megabytes"], seen["open_files"]
    assert last - first < 50 and left_open <= opened


def test_it_sees_a_pace_that_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = Pacer.ask

    def hasty(self: Pacer, host: str, who: Any) -> float:
        return ask(self, host, who) / 3 if self._dice() < 0.5 else 0.0

    monkeypatch.setattr(Pacer, "ask", hasty)
    seen = week(seed=405, links=300)
    assert seen["too_early"] > 50 and seen["over_the_rate"] > 0


def test_it_sees_hosts_that_are_given_no_pause(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Pacer, "throttled", lambda self, host, who, retry_after=0.0: self.done(host, who) or 0.0)
    monkeypatch.setattr(Pacer, "bot_wall", lambda self, host, who, detail: self.done(host, who))
    assert week(seed=405, links=1000)["not_quiet"] > 0


def test_virtual_time_passes_while_all_sleep() -> None:
    clock, said = VirtualClock(0.0), []

    def sleeper(name: str, seconds: float) -> Any:
        def work() -> None:
            for _ in range(2):
                clock.sleep(seconds)
                said.append((name, clock.now))

        return work

    hours: list[int] = []
    clock.run([sleeper("a", 1800), sleeper("b", 4000)], hours.append)
    assert said == [("a", 1800), ("a", 3600), ("b", 4000), ("b", 8000)] and hours == [1, 2]

    def broken() -> None:
        raise ValueError("told")

    with pytest.raises(ValueError, match="told"):
        clock.run([broken], hours.append)
    assert WORKERS > 20
