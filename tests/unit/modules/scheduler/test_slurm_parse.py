"""What Slurm says in the formats of several versions, and what happens when it says nonsense."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import Seen
from kedge.modules.scheduler.showing import notice_of, values_of
from kedge.modules.scheduler.slurm_parse import cluster, decode, number, state_of

# as slurmrestd 22.05 (v0.0.38) and 24.11 (v0.0.42) answer, shortened
V38: dict[str, Any] = {
    "nodes": [
        {
            "name": "n1", "state": "allocated", "state_flags": ["DRAIN"], "features": "fast,kedge_A",
            "reason": "kedge: release B", "reason_set_by_user": "root",
        },
        {"name": "n2", "state": "down", "state_flags": ["NOT_RESPONDING"],
         "reason": "Not responding", "features": ""},
        {"name": "n3", "state": "idle", "state_flags": [], "features": ""},
    ],
}  # fmt: skip
V42: dict[str, Any] = {
    "nodes": [
        {
            "name": "n1", "state": ["ALLOCATED", "DRAIN"], "features": ["fast", "kedge_A"],
            "reason": "kedge: release B", "reason_set_by_user": "root",
        },
        {"name": "n2", "state": ["DOWN", "NOT_RESPONDING"], "reason": "Not responding",
         "features": []},
        {"name": "n3", "state": ["IDLE"], "features": []},
    ],
}  # fmt: skip
J38 = {"jobs": [{"job_id": 7, "job_state": "RUNNING", "nodes": "n[1,3]", "end_time": 1000}]}
J42 = {
    "jobs": [
        {
            "job_id": 7, "job_state": ["RUNNING"], "nodes": "n[1,3]",
            "end_time": {"set": True, "infinite": False, "number": 1000},
        }
    ]
}  # fmt: skip


@pytest.mark.parametrize(("nodes", "jobs"), [(V38, J38), (V42, J42)])
def test_all_versions_mean_the_same(nodes: Any, jobs: Any) -> None:
    found = cluster(nodes, jobs).nodes
    assert (found["n1"].state, found["n1"].drained_by) == ("draining", "kedge")
    assert found["n1"].release == "A" and found["n1"].jobs[0].ends_at == 1000.0
    assert (found["n2"].state, found["n2"].drained_by, found["n2"].return_by) == (
        "down", "", "kedge",
    )  # fmt: skip
    assert found["n3"].state == "in_service" and found["n3"].jobs[0].nodes == "n[1,3]"


@pytest.mark.parametrize(
    ("said", "busy", "state"),
    [
        ({"IDLE"}, False, "in_service"),
        ({"MIXED"}, True, "in_service"),
        ({"IDLE", "DRAIN"}, False, "drained"),
        ({"IDLE", "DRAIN"}, True, "draining"),  # the job began after the nodes were read
        ({"MIXED", "DRAIN"}, False, "draining"),
        ({"IDLE", "COMPLETING", "DRAIN"}, False, "draining"),
        ({"DOWN", "DRAIN", "NOT_RESPONDING"}, False, "drained"),
        ({"IDLE", "NOT_RESPONDING"}, False, "in_service"),  # it was resumed a moment ago
        ({"ALLOCATED", "NOT_RESPONDING"}, True, "in_service"),  # its jobs may run
        ({"DOWN"}, False, "down"),
        ({"UNKNOWN"}, False, ""),
        ({"FUTURE"}, False, ""),
        ({"NEW_WORD_OF_SLURM_30"}, False, ""),
        (set[str](), False, ""),
    ],
)
def test_states(said: set[str], busy: bool, state: str) -> None:
    assert state_of(frozenset(said), busy=busy) == state


@pytest.mark.parametrize(
    ("state", "reason", "drained_by", "return_by"),
    [
        ("in_service", "kedge: old reason", "", "kedge"),
        ("drained", "kedge: release B", "kedge", "kedge"),
        ("drained", "kedge: by hand: health: memory", "kedge", "person"),
        ("drained", "fan", "person", "person"),
        ("drained", "", "person", "person"),
        ("draining", "see kedge: not ours", "person", "person"),
        ("down", "", "", "kedge"),
        ("down", "set by me", "person", "person"),
    ],
)
def test_whose_a_drain_is(state: str, reason: str, drained_by: str, return_by: str) -> None:
    seen = Seen(state, reason)
    assert (seen.drained_by, seen.return_by) == (drained_by, return_by)


@pytest.mark.parametrize(
    "answer",
    ["", "oops", "[]", "null", '"text"', '{"nodes": 7}', '{"nodes": [{}]}', '{"nodes": [{"name": 3}]}',
     '{"nodes": [], "errors": [{"error": "Unspecified error"}]}', "[" * 100_000],
)  # fmt: skip
def test_nonsense_is_one_clear_error(answer: str) -> None:
    with pytest.raises(KedgeError) as caught:
        cluster(decode(answer, "nodes"), {"jobs": []})
    assert caught.value.code in ("scheduler.nonsense", "scheduler.refused")


def test_a_job_on_unreadable_nodes_is_nonsense() -> None:
    jobs = {"jobs": [{"job_id": 1, "job_state": "RUNNING", "nodes": "n[1-"}]}
    with pytest.raises(KedgeError):
        cluster({"nodes": []}, jobs)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["name", "state", "state_flags", "features", "reason", "jobs", "nodes",
                         "job_state", "end_time", "set", "number"]), inner, max_size=5),
    max_leaves=20,
)  # fmt: skip


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.dictionaries(st.sampled_from(["nodes", "jobs", "errors"]), JSON))
def test_whatever_comes_is_read_or_refused(answer: dict[str, Any]) -> None:
    try:
        told = decode(json.dumps(answer), "nodes")
        found = cluster(told, told, told)
    except KedgeError:
        return
    assert all(seen.state in ("", "in_service", "draining", "drained", "down")
               for seen in found.nodes.values())  # fmt: skip


def test_numbers() -> None:
    assert number({"set": False, "infinite": False, "number": 0}) is None
    assert number({"set": True, "infinite": True, "number": 0}) is None
    assert number(5) == 5.0 and number(True) is None and number("5") is None


def test_notices() -> None:
    found = cluster(V42, J42).nodes
    assert notice_of(found["n1"]) == (
        "waiting for job 7, until 1970-01-01 00:16 UTC at the latest; drained for: release B"
    )
    assert notice_of(Seen("drained", "fan", "alice")) == "drained by a person (alice): fan"
    assert notice_of(found["n3"]) == ""
    assert values_of(Seen(""))["scheduler.state"] is None, "what Slurm cannot say is unknown: busy"
