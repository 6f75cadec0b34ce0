"""The mutation graph as a picture: DOT, Mermaid or SVG, whole or one module's, with a node's place in it.

Every planned variable is a box of its symbols; a mutation is an arrow from each symbol it starts at
to the one it leads to, labelled with its cost and what else it requires. `drawing` decides what is
shown, the renderers only how it is written.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from kedge.core.action import UNKNOWN_VALUE, Action
from kedge.core.condition import Condition
from kedge.core.graph import Graph
from kedge.core.picture import Arrow, Box, Drawing
from kedge.core.svg import svg
from kedge.lib.errors import KedgeError

STYLES = ("dot", "mermaid", "svg")


def draw(
    graph: Graph, *, style: str = "dot", module: str = "", condition: Condition | None = None
) -> str:
    """The graph (or one module's part of it) as text, with the place and path of a node."""
    if style not in STYLES:
        raise KedgeError(
            "graph.style", f"unknown style {style!r}", next_step=f"Valid: {', '.join(STYLES)}"
        )
    if module and module not in graph.modules:
        known = ", ".join(graph.modules)
        raise KedgeError("graph.module", f"no module {module!r}", next_step=f"Valid: {known}")
    on_path: list[str] = []
    discovered: dict[str, str] = {}
    if condition is not None:
        discovered = dict(condition.discovered)
        on_path = [step.mutation for step in (*condition.running, *condition.plan)]
    picture = drawing(graph, module=module, discovered=discovered, path=on_path)
    if condition is not None:
        picture = replace(picture, node=condition.node)
    return {"dot": dot, "mermaid": mermaid, "svg": svg}[style](picture)


def drawing(
    graph: Graph,
    *,
    module: str = "",
    discovered: Mapping[str, str] | None = None,
    path: Sequence[str] = (),
) -> Drawing:
    """The graph, or what ``module`` declares and touches; ``discovered`` and ``path`` (names of
    mutations) mark where a node is and how it will go."""
    steps: dict[str, int] = {}
    for place, name in enumerate(path, 1):
        steps.setdefault(name, place)
    arrows = tuple(
        arrow
        for action in graph.compiled.mutation_actions.values()
        if not module or action.name.startswith(f"{module}.")
        for arrow in _arrows(graph, action, steps.get(action.name, 0))
    )
    shown = {a.variable for a in arrows}
    boxes = tuple(
        Box(
            name,
            variable.domain[1:],
            _note(graph, name),
            (discovered or {}).get(name, ""),
        )
        for name, variable in graph.variables.items()
        if variable.planned and (not module or variable.module == module or name in shown)
    )
    return Drawing(boxes, arrows)


def _note(graph: Graph, name: str) -> str:
    variable = graph.variables[name]
    parts = [
        f"while {parent} is {' or '.join(sorted(allowed))}"
        for parent, allowed in sorted(variable.while_.items())
    ]
    for discovery in graph.discoveries.values():
        if name in discovery.variables:
            how = "listened for" if discovery.handler is None else "asked for"
            every = f" every {discovery.every_s:g} s" if discovery.every_s else ""
            parts.append(f"{how}{every} ({discovery.name})")
    return "; ".join(parts)


def _arrows(graph: Graph, action: Action, step: int) -> Iterator[Arrow]:
    compiled = graph.compiled
    reads = dict(action.reads)
    own = dict(action.own)
    for variable, value in action.own:
        others = [
            f"{compiled.name(v)}={'|'.join(compiled.symbol(v, x) for x in sorted(allowed))}"
            for v, allowed in action.reads
            if v != variable
        ]
        also = [
            f"{compiled.name(v)}={compiled.symbol(v, x)}" for v, x in own.items() if v != variable
        ]
        everywhere = frozenset(range(1, len(compiled.values[variable]))) - {value}
        for before in sorted(reads.get(variable, everywhere)):
            if before != UNKNOWN_VALUE:
                yield Arrow(
                    compiled.name(variable),
                    compiled.symbol(variable, before),
                    compiled.symbol(variable, value),
                    action.name,
                    action.cost,
                    ", ".join(others),
                    ", ".join(also),
                    action.destructive,
                    step,
                )


def dot(picture: Drawing) -> str:
    """As DOT, for Graphviz."""
    lines = ["digraph kedge {", "  rankdir=LR;", '  node [shape=box, style="rounded,filled"];']
    for number, box in enumerate(picture.boxes):
        label = f"{box.variable}\\n{box.note}" if box.note else box.variable
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(f'    label="{_quoted(label)}";')
        for symbol in box.symbols:
            colour = "gold" if symbol == box.here else "white"
            lines.append(
                f'    "{_quoted(box.variable)}={_quoted(symbol)}" '
                f'[label="{_quoted(symbol)}", fillcolor={colour}];'
            )
        lines.append("  }")
    for arrow in picture.arrows:
        ends = [f'"{_quoted(arrow.variable)}={_quoted(s)}"' for s in (arrow.before, arrow.after)]
        colour = "firebrick" if arrow.destructive else "black"
        width = 3 if arrow.step else 1
        lines.append(
            f"  {ends[0]} -> {ends[1]} "
            f'[label="{_quoted(arrow.label)}", color={colour}, penwidth={width}];'
        )
    return "\n".join([*lines, "}"]) + "\n"


def mermaid(picture: Drawing) -> str:
    """As Mermaid, for Markdown."""
    names: dict[tuple[str, str], str] = {}
    lines = ["flowchart LR"]
    for number, box in enumerate(picture.boxes):
        label = f"{box.variable}<br/>{box.note}" if box.note else box.variable
        lines.append(f'  subgraph v{number}["{_quoted(label)}"]')
        for at, symbol in enumerate(box.symbols):
            names[box.variable, symbol] = f"v{number}s{at}"
            here = ":::here" if symbol == box.here else ""
            lines.append(f'    v{number}s{at}["{_quoted(symbol)}"]{here}')
        lines.append("  end")
    for arrow in picture.arrows:
        before = names[arrow.variable, arrow.before]
        after = names[arrow.variable, arrow.after]
        line = "==>" if arrow.step else "-.->" if arrow.destructive else "-->"
        lines.append(f'  {before} {line}|"{_quoted(arrow.label)}"| {after}')
    return "\n".join([*lines, "  classDef here fill:gold"]) + "\n"


def _quoted(text: str) -> str:
    return text.replace('"', "'")
