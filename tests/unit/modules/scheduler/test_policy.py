"""When nodes without a scheduler may be disturbed."""

from __future__ import annotations

import pytest

from kedge.core.kinds import ValueProblem
from kedge.modules.scheduler.policy import POLICY, Closed, Moment, Rule, is_open, rule_of

SUNDAY, MONDAY, SATURDAY = 6, 0, 5


@pytest.mark.parametrize(
    ("window", "day", "time", "expected"),
    [
        ("Sun 02:00-06:00", SUNDAY, "02:00", True),
        ("Sun 02:00-06:00", SUNDAY, "06:00", False),
        ("Sun 02:00-06:00", MONDAY, "03:00", False),
        ("02:00-06:00", MONDAY, "03:00", True),
        ("Mon-Fri 22:00-05:00", MONDAY, "23:00", True),
        ("Mon-Fri 22:00-05:00", SATURDAY, "04:59", True),  # the window of Friday night
        ("Mon-Fri 22:00-05:00", SATURDAY, "23:00", False),
        ("Mon-Fri 22:00-05:00", MONDAY, "04:00", False),  # that of Sunday night
        ("Sat-Mon 10:00-11:00", SUNDAY, "10:30", True),
    ],
)
def test_windows(window: str, day: int, time: str, expected: bool) -> None:
    hours, _, minutes = time.partition(":")
    moment = Moment(day, int(hours) * 60 + int(minutes))
    assert is_open([window], moment) is expected
    POLICY.check({"windows": [window]})


@pytest.mark.parametrize("wrong", ["Sun", "Sun 2:00-6:00", "24:00-25:00", "Sonntag 02:00-06:00"])
def test_a_window_that_is_none_is_refused(wrong: str) -> None:
    with pytest.raises(ValueProblem):
        POLICY.check({"windows": [wrong]})


def test_who_decides_where_nothing_is_written() -> None:
    assert rule_of(None, "g", scheduler=True, wanted=False).kind == "jobs"
    assert rule_of(None, "g", scheduler=False, wanted=False).kind == "free"
    assert rule_of(None, "g", scheduler=False, wanted=True).kind == "people"
    login = rule_of({"sessions": "empty", "at_once": 1}, "login", scheduler=True, wanted=True)
    assert login == Rule("people", (), True, 1, "login")


def test_sessions_windows_and_one_at_a_time() -> None:
    now = Moment(SUNDAY, 180)
    rule = Rule("people", ("Sun 02:00-06:00",), True, 1, "login")
    rules = {"l1": rule, "l2": rule, "s1": Rule("people", role="storage")}
    closed = Closed()
    for node in rules:
        closed.close(node, "kedge: release B")
    waits = closed.grant(rules, {"l1": None, "l2": 2}, now)
    assert waits == {
        "l1": "waiting to hear how many sessions are open",
        "l2": "waiting for 2 open sessions to end",
    }
    assert closed.granted == {"s1"}
    assert (
        "waiting for a window" in closed.grant(rules, {"l1": 0, "l2": 0}, Moment(MONDAY, 180))["l1"]
    )
    waits = closed.grant(rules, {"l1": 0, "l2": 0}, now)
    assert waits == {"l2": "waiting for l1 of the role login to be back: 1 at once"}
    # a grant lasts, also when the window closes while the node is down
    assert "l1" not in closed.grant(rules, {"l1": None, "l2": 0}, Moment(MONDAY, 0))
    closed.open("l1")
    assert closed.grant(rules, {"l2": 0}, now) == {}
    assert closed.granted == {"l2", "s1"}


def test_a_node_that_is_away_anyway_counts_and_comes_first() -> None:
    now = Moment(MONDAY, 180)
    rules = dict.fromkeys(("l1", "l2", "l3"), Rule("people", at_once=1, role="login"))
    closed = Closed()
    closed.close("l2", "kedge: release B")
    waits = closed.grant(rules, {}, now, away={"l1"})
    assert waits == {"l2": "waiting for l1 of the role login to be back: 1 at once"}
    closed.close("l1", "kedge: release B")  # it hangs, and its power shall be taken
    assert set(closed.grant(rules, {}, now, away={"l1"})) == {"l2"}
    assert closed.granted == {"l1"}
    closed.open("l1")
    closed.close("l3", "kedge: release B")
    waits = closed.grant(rules, {}, now, away={"l2", "l3"})
    assert closed.granted == {"l2"} and set(waits) == {"l3"}, "two that are away do not block"
    closed = Closed()
    rules["l1"] = Rule("people", sessions_empty=True, at_once=1, role="login")
    for node in ("l2", "l1"):
        closed.close(node, "kedge: release B")
    waits = closed.grant(rules, {"l1": None}, now, away={"l1"})
    assert waits == {
        "l1": "waiting to hear how many sessions are open",
        "l2": "waiting for l1 of the role login to be back: 1 at once",
    }
