"""``kedge sim rollout``: what a rollout costs a busy cluster, against the simple ways."""

from __future__ import annotations

from collections.abc import Iterable

import click

from kedge.cli.output import say, show
from kedge.cli.session import output_option
from kedge.cli.trouble import FAILED


@click.command("rollout")
@click.option("--nodes", type=click.IntRange(20, 100_000), default=500, show_default=True,
              help="How many nodes.")  # fmt: skip
@click.option("--seed", type=int, default=1, show_default=True, help="The first seed.")
@click.option(
    "--seeds", type=click.IntRange(1, 100), default=1, show_default=True, help="How many."
)
@click.option(
    "--faults",
    is_flag=True,
    help="With crashes, drains by people, failing gates and updates, a silent scheduler, restarts.",
)
@output_option
def rollout(nodes: int, seed: int, seeds: int, faults: bool, output: str) -> None:
    """Roll a release through a cluster with a realistic mix of jobs, in virtual time.

    The rollout's decisions and the engine are the real ones. Shown is what it costs, in node-hours
    for each node updated, beside draining everything at once and reserving a window.

    With --faults much goes wrong, and the rules are looked at all the way: no job is disturbed, never more
    nodes are out than may be, nothing goes on after a failed gate. Exits with 1 when one was broken.
    (To roll through your own site, with all of Kedge: kedge sim run --rollout.)
    """
    if faults:
        _trials(nodes, range(seed, seed + seeds), output)
        return
    from kedge.sim.rolling.report import report, report_lines

    found = report(nodes, range(seed, seed + seeds), say)
    show(found, output, lambda: report_lines(found))


def _trials(nodes: int, seeds: Iterable[int], output: str) -> None:
    """One rollout a seed, with what goes wrong; the exit status is that of the rules."""
    from kedge.cli.simulate import show_status
    from kedge.sim.rolling.trial import trial, trial_lines

    found = [trial(nodes, seed, show_status) for seed in seeds]
    show_status("")
    show([one.as_dict() for one in found], output, lambda: trial_lines(found))
    click.get_current_context().exit(FAILED if any(one.broken for one in found) else 0)
