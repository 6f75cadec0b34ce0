"""A node that was told to serve again is out of service no more, whatever older answers say."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, cast

import pytest

from fakes import FakeIo
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import Cluster, Driver, Seen
from kedge.modules.scheduler.resuming import LATE_S, NOTICE, Resuming
from kedge.modules.scheduler.watching import Watch
from kedge.site.model import Cluster as SiteCluster
from kedge.site.model import Site


def test_while_it_is_told_no_answer_is_believed() -> None:
    resuming = Resuming()
    resuming.told(["n1"])
    assert resuming.doubts("n1", "drained", 1e9) and resuming.doubts("n1", "down", 1e9)
    assert not resuming.doubts("n1", "in_service", 0.0)
    assert resuming.doubts("n1", "drained", 1e9), "an answer from before ends no telling"
    assert not resuming.doubts("n2", "drained", 0.0)


def test_an_answer_to_a_later_question_is_believed() -> None:
    resuming = Resuming()
    resuming.told(["n1"])
    resuming.ended(["n1"], 10.0, known=True)
    assert resuming.doubts("n1", "drained", 10.0)
    assert not resuming.doubts("n1", "drained", 10.1)
    assert not resuming.doubts("n1", "drained", 0.0), "it is over"


def test_what_was_not_answered_may_be_carried_out_late() -> None:
    resuming = Resuming()
    resuming.told(["n1", "n2"])
    resuming.ended(["n1", "n2"], 10.0, known=False)
    assert resuming.doubts("n1", "drained", 10.0 + LATE_S)
    assert not resuming.doubts("n1", "drained", 10.1 + LATE_S)
    assert not resuming.doubts("n2", "in_service", 20.0)
    assert not resuming.doubts("n2", "drained", 21.0), "it was carried out: what follows is newer"


class SlowDriver:
    """Its one node is drained until it is resumed. A ``silent`` one resumes, and does not say so."""

    def __init__(self, *, silent: bool = False) -> None:
        self.state, self.silent = "drained", silent

    def read(self) -> Cluster:
        return Cluster({"n1": Seen(self.state, "kedge: release B" if self.state else "")})

    def resume(self, nodes: Sequence[str]) -> None:
        if self.silent:
            raise KedgeError("scheduler.silent", "the scheduler does not answer")
        self.state = "in_service"


@pytest.fixture
def site() -> Site:
    wanted: dict[str, Any] = {"scheduler.state": "in_service", "scheduler.policy": {"kind": "jobs"}}
    return Site(SiteCluster("c"), nodes={"n1": Configuration("n1", values=wanted)})


@pytest.mark.parametrize("silent", [False, True])
async def test_an_answer_from_before_the_resume_calls_nobody_drained(
    site: Site, silent: bool
) -> None:
    async with FakeIo(site) as io:
        driver = SlowDriver(silent=silent)
        watch: Any = Watch(io)
        watch._driver = cast("Driver", driver)
        await watch._reading.again(driver, 10.0)
        watch._show()
        node = io.node("n1")
        assert node is not None and node.seen("scheduler.state") == "drained"
        telling = asyncio.ensure_future(watch.give("resume", node))
        while node.seen("scheduler.state") == "drained":
            await asyncio.sleep(0.01)
        watch._show()  # the answer that is here is the one from before
        assert node.seen("scheduler.state") is None and node.seen("scheduler.notice") == NOTICE
        if silent:
            with pytest.raises(KedgeError, match="does not answer"):
                await telling
        else:
            await telling
        await watch._reading.again(driver, 10.0)
        watch._show()
        assert node.seen("scheduler.state") == (None if silent else "in_service")
