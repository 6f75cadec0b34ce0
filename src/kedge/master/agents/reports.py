"""What agents report, checked: from the bytes of a record to observations and answers to orders.

An agent runs on a machine whose users may be hostile, so everything here is bounded and refused
when it does not fit; a refused entry harms none of the others.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from kedge.core.events import StepFailed
from kedge.core.kinds import Value
from kedge.lib.errors import KedgeError
from kedge.master.agents.duties import PREFIX, reported
from kedge.master.engine.head import Head

BY = "agent"
MAX_ENTRY_BYTES = 65_536
MAX_DEPTH = 8
MAX_FACTS = 64
ASTRAY = "agent.stage"
"""The error of an agent that is asked for what begins at another stage than the node's."""


def take_in(head: Head, name: str, changes: Mapping[str, bytes | None]) -> None:
    """Apply a report of node ``name``: variables that listen to agents, facts, answers to orders."""
    node = head.nodes.get(name)
    if node is None:
        return
    observed: dict[str, Value] = {}
    answers: list[tuple[str, Value]] = []
    for entry, raw in changes.items():
        value = decoded(raw)
        if entry.startswith("order/"):
            answers.append((entry.removeprefix("order/"), value))
        elif entry.startswith(PREFIX):
            _duty(head, name, entry.removeprefix(PREFIX), value)
        elif entry in head.graph.variables and _listened(head, entry):
            observed[entry] = value
        elif value is None:
            node.facts.pop(entry, None)
        elif len(node.facts) < MAX_FACTS or entry in node.facts:
            node.facts[entry] = value
    for mutation, answer in answers:  # first: they say why the rest is as it is
        _answered(head, name, mutation, answer)
    try:
        head.observe(name, observed, BY)
    except KedgeError as error:
        head.journal.write(name, "refused", error.code, cause=str(error))


def _duty(head: Head, node: str, name: str, told: Value) -> None:
    """A duty's report: it may speak of the variables that it declares, and of nothing else."""
    duty, ailing = head.graph.duties.get(name), head.nodes[node].ailing
    ailing.pop(name, None)
    if duty is None:
        return  # of a module that went while this was on its way
    values, wrong = reported(duty, told)
    if wrong:
        head.journal.write(node, "duty", name, cause=wrong)
        ailing[name] = wrong
    for variable, value in values.items():
        try:
            head.check(node, variable, value)
        except KedgeError as error:
            head.journal.write(node, "refused", error.code, cause=str(error))
            values[variable] = None
            ailing[name] = str(error)
    head.observe(node, values, BY)


def _listened(head: Head, variable: str) -> bool:
    """Whether agents may report a variable by itself: only those for which some discovery listens, and
    not those of a duty, which come as its report."""
    if any(variable in duty.reports for duty in head.graph.duties.values()):
        return False
    return any(
        discovery.handler is None and variable in discovery.variables
        for discovery in head.graph.discoveries.values()
    )


def _answered(head: Head, node: str, mutation: str, answer: Value) -> None:
    if not isinstance(answer, dict) or answer.get("status") != "failed":
        return
    error = answer.get("error")
    told = error if isinstance(error, dict) else {}
    what = str(told.get("what") or "the node could not carry out the order")[:500]
    why = ", ".join(str(told[key])[:500] for key in ("why", "where") if told.get(key))
    known, order = head.nodes.get(node), str(answer.get("id"))
    step_id = known.adopted.get(order, order) if known is not None else order
    astray = told.get("code") == ASTRAY
    head.feed(StepFailed(node, step_id, f"{what} ({why})" if why else what, astray=astray))


def decoded(raw: bytes | None) -> Value:
    """The value in an entry; None for what is too large, too deep or not JSON."""
    if raw is None or len(raw) > MAX_ENTRY_BYTES:
        return None
    try:
        value: Value = msgspec.json.decode(raw)  # stricter than Python's own: no NaN, only Unicode
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return None
    return value if _depth_ok(value, MAX_DEPTH) else None


def _depth_ok(value: Value, left: int) -> bool:
    if left == 0:
        return False
    if isinstance(value, dict):
        return all(_depth_ok(item, left - 1) for item in value.values())
    if isinstance(value, list):
        return all(_depth_ok(item, left - 1) for item in value)
    return True
