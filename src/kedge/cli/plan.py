"""``kedge plan`` and ``kedge graph``: where nodes go and why, and all the ways there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from kedge.cli.output import plain, show
from kedge.cli.session import ask, complete_nodes, nodes_argument, output_option
from kedge.cli.trouble import TROUBLE

if TYPE_CHECKING:
    from rich.console import RenderableType

    from kedge.shapes.paths import CostRow


@click.command()
@nodes_argument()
@click.option(
    "--to",
    multiple=True,
    metavar="VARIABLE=SYMBOL",
    help="Plan for this goal instead; nothing is done. May be repeated.",
)
@output_option
def plan(nodes: str, to: tuple[str, ...], output: str) -> None:
    """Show the path of each node to what is configured, and why; exit with 4 where there is none.

    Nodes that go the same way are shown together. What waits for a budget says who uses it, and how
    many come first. With --to, the path to other goals: kedge plan n3 --to power.state=off
    """
    table = output == "table"
    rows = ask(lambda client: client.plan(nodes, ",".join(to), fold=table))

    def drawn():
        from kedge.cli.render import plan_lines

        return [line for row in plain(rows) for line in plan_lines(row)]

    show(rows, output, drawn)
    if any(row.blocked_by for row in rows):
        click.get_current_context().exit(TROUBLE)


@click.command()
@click.option(
    "--style", type=click.Choice(["dot", "mermaid", "svg"]), default="dot", show_default=True
)
@click.option("--module", default="", help="Only what this module declares.")
@click.option("--node", default="", shell_complete=complete_nodes, help="Mark where a node is.")
@click.option("--costs", is_flag=True, help="Show how long each mutation takes, not the drawing.")
@output_option
def graph(style: str, module: str, node: str, costs: bool, output: str) -> None:
    """Draw the mutation graph, or show how long mutations take.

    \b
    kedge graph --style svg > graph.svg                  for a browser
    kedge graph --style svg --node n1 > n1.svg           with n1's place and path in it
    kedge graph --module power                           for graphviz
    kedge graph --style mermaid                          for Markdown
    kedge graph --costs                                  declared and learned durations
    """
    if costs:
        rows = [
            row
            for row in ask(lambda client: client.costs())
            if not module or row.mutation.startswith(f"{module}.")
        ]
        show(rows, output, lambda: _costs_table(rows))
        return
    text = ask(lambda client: client.graph(style=style, module=module, node=node))
    if output == "table":
        click.echo(text)
    else:
        show({"style": style, "text": text}, output, lambda: ())


def _costs_table(rows: Sequence[CostRow]) -> Iterable[RenderableType]:
    from kedge.cli.render import table

    made = table("mutation", "hardware", "declared", "learned", "runs", "last runs")
    for row in rows:
        extra = f" + {row.surcharge_s}" if row.surcharge_s else ""
        seen = f"{row.least_s:g} to {row.most_s:g} s, median {row.median_s:g} s"
        made.add_row(
            row.mutation, row.hardware, f"{row.declared_s}{extra} s",
            f"{row.learned_s}{extra} s" if row.learned_s else "",
            str(row.runs or ""), seen if row.runs else "",
        )  # fmt: skip
    return [made]
