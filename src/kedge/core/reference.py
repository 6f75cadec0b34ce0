"""A module's page of the reference, in Markdown: made from its declarations, for docs and commands alike."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping

from kedge.core.duty import Duty
from kedge.core.kinds import Kind, Struct
from kedge.core.module import Module
from kedge.core.mutation import Discovery, Mutation
from kedge.core.variable import Variable

WHO = {
    "head": "the head",
    "node": "the node's agent, by order",
    "waits": "nobody: it is waited for",
}


def condition(symbols: Mapping[str, frozenset[str] | str]) -> str:
    """``power.state=on``, one after the other."""
    words: list[str] = []
    for name in sorted(symbols):
        allowed = symbols[name]
        words.append(
            f"`{name}={allowed if isinstance(allowed, str) else '|'.join(sorted(allowed))}`"
        )
    return ", ".join(words)


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """A table; nothing where there is no row."""
    if rows:
        for cells in (head, tuple("---" for _ in head), *rows):
            yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


def keys(kind: Kind) -> Iterator[str]:
    """The keys of a mapping, one in a line."""
    if isinstance(kind, Struct):
        for key, inner in kind.fields.items():
            need = " (required)" if key in kind.required else ""
            yield f"- `{key}`{need}: {inner.describe()}"
        yield ""


def variable(declared: Variable) -> Iterator[str]:
    """What there is to know of a variable."""
    yield f"### `{declared.name}`"
    yield ""
    yield f"{declared.summary}." if declared.summary else "(no summary)"
    yield ""
    yield f"- value: {declared.kind.describe()}"
    sorts = ["configured"] * declared.configured + ["planned"] * declared.planned
    yield f"- sort: {', '.join(sorts) or 'shown only'}"
    if declared.default is not None:
        yield f"- default: `{json.dumps(declared.default)}`"
    if declared.planned:
        yield f"- symbols: {', '.join(f'`{symbol}`' for symbol in declared.domain)}"
    if declared.relation is not None:
        relation = declared.relation
        yield f"- held against `{relation.to}`; as configured when it is `{relation.goal}`"
    if declared.while_:
        yield f"- means something while {condition(declared.while_)}; else `{declared.initial}`"
    yield ""
    yield from keys(declared.kind)


def mutation(declared: Mutation) -> tuple[str, ...]:
    """A row of the table of mutations."""
    notes = ["destructive"] * declared.destructive
    if declared.surcharge_s:
        notes.append(f"a last resort: chosen as if it took {declared.surcharge_s} s more")
    if declared.on_timeout:
        notes.append(f"then taken for true: {condition(declared.on_timeout)}")
    if declared.via:
        notes.append(f"passes through {condition(declared.via)}")
    notes += [f"takes one unit of the budget `{budget}`" for budget in declared.budgets]
    return (
        f"`{declared.name}`",
        declared.summary,
        condition(declared.requires)
        + (f"; not {condition(declared.excludes)}" if declared.excludes else ""),
        condition(declared.effects),
        f"{declared.cost_s} s",
        f"{declared.timeout_s:g} s",
        WHO[declared.where],
        "; ".join(notes),
    )


def discovery(declared: Discovery) -> tuple[str, ...]:
    """A row of the table of discoveries."""
    asked = declared.handler is not None
    how = f"asked, every {declared.every_s:g} s" if declared.every_s else "asked when needed"
    return (
        f"`{declared.name}`",
        ", ".join(f"`{name}`" for name in declared.variables),
        how if asked else "reported by others, listened to",
        condition(declared.requires),
        f"{declared.timeout_s:g} s",
        condition(declared.on_timeout),
        declared.summary,
    )


def duty(declared: Duty) -> tuple[str, ...]:
    """A row of the table of duties."""
    return (
        f"`{declared.name}`",
        ", ".join(f"`{name}`" for name in declared.reports),
        ", ".join(f"`{name}`" for name in declared.orders),
        f"{declared.every_s:g} s" if declared.every_s else "when something changes",
        f"{declared.timeout_s:g} s",
        declared.summary,
    )


def section(module: Module) -> Iterator[str]:
    """All of a module."""
    yield f"## {module.name}"
    yield ""
    yield f"{module.summary}."
    yield ""
    for declared in sorted(module.variables, key=lambda v: v.name):
        yield from variable(declared)
    head = ("mutation", "", "requires", "effects", "cost", "time-out", "carried out by", "notes")
    yield from table(head, [mutation(m) for m in sorted(module.mutations, key=lambda m: m.name)])
    head = ("discovery", "variables", "how", "where", "time-out", "silence means", "")
    yield from table(head, [discovery(d) for d in sorted(module.discoveries, key=lambda d: d.name)])
    head = ("protects", "requires", "why")
    rows = [(f"`{p.variable}`", condition(p.requires), p.why) for p in module.protections]
    yield from table(head, rows)
    head = ("duty", "reports", "carries out", "every", "time-out", "")
    yield from table(head, [duty(d) for d in sorted(module.duties, key=lambda d: d.name)])
    if module.actions:
        yield f"Actions offered by the API: {', '.join(f'`{name}`' for name in sorted(module.actions))}."
        yield ""
