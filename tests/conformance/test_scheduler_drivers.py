"""What every scheduler's driver must do (`kedge.modules.scheduler.driver`), asked of each driver there is.

A driver is added in `BENCHES`; `schedulers.Bench` says what the suite needs of its scheduler. Orders go
the way that they go in a master, through `carry_out`, and directly where the driver alone has to be right.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from schedulers import (
    JOB_LIMIT_S,
    SECRET,
    Bench,
    OnSlurm,
    OnSlurmRest,
    Simulated,
    real_slurm,
    why_no_slurm,
)

from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import BY_HAND, CALL_S, Seen
from kedge.modules.scheduler.orders import carry_out
from slurm_cluster import Slurm

BENCHES: dict[str, Callable[[pytest.FixtureRequest], Bench]] = {
    "slurm by commands": lambda request: OnSlurm(request.getfixturevalue("batch")),
    "slurm by slurmrestd": lambda request: OnSlurmRest(request.getfixturevalue("batch")),
    "simulated": lambda request: Simulated(),
}

pytestmark = pytest.mark.timeout(120)
REASON = "kedge: release B"
OURS = ("drain", REASON)


@pytest.fixture(scope="module")
def batch() -> Iterator[Slurm]:
    if why := why_no_slurm():
        pytest.skip(why)
    with real_slurm() as started:
        yield started


@pytest.fixture(scope="module", params=BENCHES)
def started(request: pytest.FixtureRequest) -> Bench:
    return BENCHES[request.param](request)


@pytest.fixture
def bench(started: Bench) -> Iterator[Bench]:
    started.reset()
    yield started
    started.reset()


def seen(bench: Bench, node: str) -> Seen:
    return bench.driver.read().nodes[node]


def until(true: Callable[[], bool], what: str) -> None:
    end = time.monotonic() + 30.0
    while not true():
        assert time.monotonic() < end, f"waited for {what}"
        time.sleep(0.1)


def test_idle_nodes_are_in_service_and_offer_what_they_offer(bench: Bench) -> None:
    nodes = bench.driver.read().nodes
    assert list(nodes) == list(bench.nodes)
    for node in nodes.values():
        assert (node.state, node.jobs, node.drained_by, node.release) == ("in_service", (), "", "")
        assert node.features == nodes[bench.nodes[0]].features


def test_a_job_is_seen_where_it_runs_and_by_when_it_ends(bench: Bench) -> None:
    job = bench.submit("n1")
    node = seen(bench, "n1")
    assert node.state == "in_service" and [found.id for found in node.jobs] == [job]
    ends_at = node.jobs[0].ends_at
    assert ends_at is not None and abs(ends_at - bench.now() - JOB_LIMIT_S) < 60
    assert node.jobs[0].nodes == "n1" and not seen(bench, "n2").jobs


def test_a_drain_waits_for_jobs_and_lets_none_begin(bench: Bench) -> None:
    job = bench.submit("n1")
    assert carry_out(bench.driver, OURS, ["n1", "n2"]) == {}
    busy, idle = seen(bench, "n1"), seen(bench, "n2")
    assert (busy.state, idle.state) == ("draining", "drained")
    assert [found.id for found in busy.jobs] == [job] and bench.runs(job)
    for node in (busy, idle):
        assert (node.reason, node.drained_by, node.return_by) == (REASON, "kedge", "kedge")
    late = bench.submit("n2", waits=True)
    bench.driver.read()
    assert not bench.runs(late) and seen(bench, "n2").state == "drained"
    bench.end_jobs()
    until(lambda: seen(bench, "n1").state == "drained", "the job's end")


def test_what_is_said_twice_is_so_once(bench: Bench) -> None:
    for reason in (REASON, REASON, "kedge: release C"):
        bench.driver.drain(["n1", "n2"], reason)
        assert seen(bench, "n1").reason == reason and seen(bench, "n1").state == "drained"
    for nodes in (["n1"], ["n1", "n2"], ["n1", "n2"]):  # some are back already
        assert carry_out(bench.driver, ("resume", ""), nodes) == {}
    for name in ("n1", "n2"):
        node = seen(bench, name)
        assert (node.state, node.reason, node.drained_by) == ("in_service", "", "")


@pytest.mark.parametrize(
    "reason",
    ['kedge: health: "disk": a=b, state=RESUME; ü', "kedge: 'x' $(reboot) %n \\ & |", "kedge: " + "y" * 300],
    ids=["signs", "shell", "long"],
)  # fmt: skip
def test_a_reason_comes_back_as_it_was_said(bench: Bench, reason: str) -> None:
    bench.driver.drain(["n3"], reason)
    assert seen(bench, "n3").reason == reason


def test_a_persons_drain_is_known_and_never_touched(bench: Bench) -> None:
    bench.drain_by_hand("n4", "broken fan, ticket 4711")
    before = seen(bench, "n4")
    assert (before.state, before.drained_by, before.return_by) == ("drained", "person", "person")
    assert before.reason == "broken fan, ticket 4711" and before.set_by
    for order in (OURS, ("note", "kedge: y"), ("resume", "")):
        errors = carry_out(bench.driver, order, ["n4", "n5"])
        assert list(errors) == ["n4"] and errors["n4"].code == "scheduler.theirs"
        assert seen(bench, "n4") == before
        expected = "in_service" if order[0] == "resume" else "drained"
        assert seen(bench, "n5").state == expected, "the others of the batch are served"


def test_what_kedge_left_to_a_person_only_a_person_ends(bench: Bench) -> None:
    assert carry_out(bench.driver, ("drain", f"{BY_HAND} memory"), ["n4"]) == {}
    node = seen(bench, "n4")
    assert (node.drained_by, node.return_by) == ("kedge", "person")
    assert carry_out(bench.driver, ("resume", ""), ["n4"])["n4"].code == "scheduler.theirs"
    assert carry_out(bench.driver, ("note", "kedge: handed back"), ["n4"]) == {}
    assert carry_out(bench.driver, ("resume", ""), ["n4"]) == {}
    assert seen(bench, "n4").state == "in_service"


def test_nodes_carry_a_release_beside_what_is_theirs(bench: Bench) -> None:
    own = seen(bench, "n3").features
    assert carry_out(bench.driver, OURS, ["n3"]) == {}
    for _ in range(2):
        assert carry_out(bench.driver, ("carry", "2026.11-b_1"), ["n1", "n3"]) == {}
        for name in ("n1", "n3"):
            node = seen(bench, name)
            assert node.features == (*own, "kedge_2026.11-b_1", "kedgeside1")
            assert (node.release, node.side) == ("2026.11-b_1", 1)
    assert seen(bench, "n2").features == own
    assert seen(bench, "n3").reason == REASON, "a drain goes on"
    assert carry_out(bench.driver, ("resume", ""), ["n3"]) == {}
    assert seen(bench, "n3").release == "2026.11-b_1"
    assert carry_out(bench.driver, ("carry", ""), ["n1", "n3"]) == {}
    assert seen(bench, "n1").features == seen(bench, "n3").features == own
    bench.driver.carry(["n1"], ())
    assert seen(bench, "n1").features == ()


def test_a_requeued_job_leaves_its_node(bench: Bench) -> None:
    job, other = bench.submit("n1"), bench.submit("n2")
    assert carry_out(bench.driver, OURS, ["n1", "n2"]) == {}
    bench.driver.requeue([job])
    until(lambda: seen(bench, "n1").state == "drained", "n1 to be empty")
    assert not bench.runs(job) and bench.runs(other)
    assert seen(bench, "n2").state == "draining"


def test_a_node_that_it_does_not_know_is_named_and_harms_no_other(bench: Bench) -> None:
    errors = carry_out(bench.driver, OURS, ["n1", "n99"])
    assert list(errors) == ["n99"] and errors["n99"].code == "scheduler.unknown_node"
    assert seen(bench, "n1").state == "drained"
    with pytest.raises(KedgeError):
        bench.driver.drain(["n99"], REASON)
    with pytest.raises(KedgeError):
        bench.driver.requeue(["999999"])


def test_nothing_to_say_changes_nothing(bench: Bench) -> None:
    before = bench.driver.read()
    for order in (OURS, ("note", REASON), ("resume", ""), ("carry", "B")):
        assert carry_out(bench.driver, order, []) == {}
    assert bench.driver.read() == before


def test_many_nodes_are_one_request(bench: Bench) -> None:
    bench.driver.read()
    for call in (
        bench.driver.read,
        lambda: bench.driver.drain(bench.nodes, REASON),
        lambda: bench.driver.resume(bench.nodes),
        lambda: bench.driver.carry(bench.nodes, ("fast",)),
    ):
        before = bench.asked()
        call()
        assert 0 < bench.asked() - before < len(bench.nodes)


def test_silence_is_an_error_and_no_empty_cluster(bench: Bench) -> None:
    bench.driver.read()
    with bench.silent():
        for call in (
            bench.driver.read,
            lambda: carry_out(bench.driver, OURS, ["n1"]),
            lambda: bench.driver.drain(["n1"], REASON),
        ):
            began_at = bench.now()
            with pytest.raises(KedgeError) as caught:
                call()
            assert bench.now() - began_at < CALL_S
            assert caught.value.code.startswith("scheduler.") and caught.value.next_step
    until(lambda: bool(bench.driver.read().nodes), "it to answer again")


def test_wrong_credentials_are_named_and_never_shown(bench: Bench) -> None:
    stranger = bench.stranger()
    if stranger is None:
        pytest.skip("it has no credentials")
    for call in (stranger.read, lambda: stranger.drain(["n1"], REASON)):
        with pytest.raises(KedgeError) as caught:
            call()
        assert caught.value.code.startswith("scheduler.") and caught.value.next_step
        assert any(word in str(caught.value) for word in ("token", "password", "credentials"))
        assert SECRET not in f"{caught.value}{caught.value.as_dict()}{stranger!r}"
    assert seen(bench, "n1").state == "in_service"
