"""``kedge sim rollout``: what a rollout costs a busy cluster, against the simple ways."""

from __future__ import annotations

import click

from kedge.cli.output import say, show
from kedge.cli.session import output_option


@click.command("rollout")
@click.option("--nodes", type=click.IntRange(20, 100_000), default=500, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed.")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="How many."
)
@output_option
def rollout(nodes: int, seed: int, seeds: int, output: str) -> None:
    """Roll a release through a cluster with a realistic mix of jobs, in virtual time.

    The rollout's decisions and the engine are the real ones. Shown is what it costs, in node-hours
    for each node updated, beside draining everything at once and reserving a window.
    """
    from kedge.sim.rolling.report import report, report_lines

    found = report(nodes, range(seed, seed + seeds), say)
    show(found, output, lambda: report_lines(found))
