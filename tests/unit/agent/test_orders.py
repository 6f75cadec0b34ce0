from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from kedge.agent.orders import Answer, Duty, Orders
from kedge.agent.place import Place
from kedge.agent.process import Tell
from kedge.lib.errors import KedgeError


def count(
    place: Place, args: dict[str, Any], record: Mapping[str, bytes], tell: Tell
) -> dict[str, Any]:
    """Append a line to the file named in the arguments: shows how often an order was carried out."""
    with Path(args["log"]).open("a") as log:
        log.write("x")
    tell({"progress": {"what": "counting", "share": 0.5}})
    return {"note": args.get("note", "")}


def fail(
    place: Place, args: dict[str, Any], record: Mapping[str, bytes], tell: Tell
) -> dict[str, Any]:
    raise KedgeError("test.no", "it cannot be", why="it is a test")


def die(
    place: Place, args: dict[str, Any], record: Mapping[str, bytes], tell: Tell
) -> dict[str, Any]:
    os.kill(os.getpid(), signal.SIGKILL)
    raise AssertionError


def hang(
    place: Place, args: dict[str, Any], record: Mapping[str, bytes], tell: Tell
) -> dict[str, Any]:
    time.sleep(60)
    return {}


DUTIES: dict[str, Duty] = {"t.count": count, "t.fail": fail, "t.die": die, "t.hang": hang}


class Desk:
    """`Orders` with everything that it answers."""

    def __init__(self, place: Place, answers: Mapping[str, Answer] | None = None) -> None:
        self.said: list[tuple[str, Answer | None]] = []
        self.orders = Orders(place, DUTIES, lambda m, a: self.said.append((m, a)), answers or {})
        self.progress: list[dict[str, Any]] = []

    def order(self, **orders: Any) -> list[dict[str, Any]]:
        """Configure orders (``t_count=...``), wait until all has ended, return the results."""
        named = {
            f"order/{name.replace('_', '.')}": json.dumps(o).encode() for name, o in orders.items()
        }
        self.orders.configured(named)
        results: list[dict[str, Any]] = []
        deadline = time.monotonic() + 10
        while self.orders.process is not None:
            assert time.monotonic() < deadline
            progress, result = self.orders.receive()
            self.progress += progress
            results += [result] if result else []
            time.sleep(0.005)
        return results


@pytest.fixture
def desk(place_at: Any) -> Desk:
    return Desk(place_at("running"))


def test_an_order_is_answered_running_then_done(desk: Desk, tmp_path: Path) -> None:
    args = {"log": str(tmp_path / "log"), "note": "hello"}
    assert desk.order(t_count={"id": "1", "args": args}) == [{"note": "hello"}]
    assert desk.said == [
        ("t.count", {"id": "1", "status": "running"}),
        ("t.count", {"id": "1", "status": "done"}),
    ]
    assert desk.progress == [{"what": "counting", "share": 0.5}]


def test_the_same_id_is_carried_out_once(desk: Desk, tmp_path: Path) -> None:
    order = {"id": "1", "args": {"log": str(tmp_path / "log")}}
    desk.order(t_count=order)
    desk.order(t_count=order)
    assert (tmp_path / "log").read_text() == "x"
    desk.order(t_count=order | {"id": "2"})
    assert (tmp_path / "log").read_text() == "xx"


def test_an_answer_outlives_the_agent(place_at: Any, tmp_path: Path) -> None:
    before = Desk(place_at("running"), {"t.count": {"id": "1", "status": "done"}})
    before.order(t_count={"id": "1", "args": {"log": str(tmp_path / "log")}})
    assert before.said == []
    assert not (tmp_path / "log").exists()


def test_a_failure_says_why(desk: Desk) -> None:
    desk.order(t_fail={"id": "1"})
    assert desk.said[-1][1] is not None
    assert desk.said[-1][1]["status"] == "failed"
    assert desk.said[-1][1]["error"]["code"] == "test.no"
    assert desk.said[-1][1]["error"]["why"] == "it is a test"


def test_a_process_that_dies_is_a_failure(desk: Desk) -> None:
    desk.order(t_die={"id": "1"})
    assert desk.said[-1][1]["error"]["code"] == "agent.died"  # type: ignore[index]


def test_an_unknown_or_unreadable_order_is_refused(desk: Desk) -> None:
    desk.order(t_other={"id": "1"}, t_count="nonsense")
    errors = {mutation: answer["error"]["code"] for mutation, answer in desk.said if answer}
    assert errors == {"t.other": "agent.unknown_order", "t.count": "agent.bad_order"}


def test_one_bad_order_does_not_stop_another(desk: Desk, tmp_path: Path) -> None:
    desk.order(t_fail={"id": "1"}, t_count={"id": "2", "args": {"log": str(tmp_path / "log")}})
    assert (tmp_path / "log").read_text() == "x"


def test_a_withdrawn_order_is_ended_and_its_answer_forgotten(desk: Desk) -> None:
    desk.orders.configured({"order/t.hang": b'{"id": "1"}'})
    process = desk.orders.process
    assert process is not None
    desk.order()
    with pytest.raises(ProcessLookupError):
        os.kill(process.pid, 0)
    assert desk.said[-1] == ("t.hang", None)
    assert desk.orders.answers == {}


def test_a_new_id_replaces_the_order_under_way(desk: Desk, tmp_path: Path) -> None:
    desk.orders.configured({"order/t.hang": b'{"id": "1"}'})
    log = {"log": str(tmp_path / "log")}
    desk.order(t_count={"id": "2", "args": log})
    assert (tmp_path / "log").read_text() == "x"
