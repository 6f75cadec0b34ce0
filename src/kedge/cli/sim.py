"""``kedge sim``: Kedge on machines that are not there, to try a site, a failure or the commands."""

from __future__ import annotations

import click

from kedge.cli.rolling import rollout
from kedge.cli.serve import run_master
from kedge.cli.simulate import run_once, soak


@click.group()
def sim() -> None:
    """Run Kedge on simulated machines, to try a site, a failure or the commands."""


@sim.command()
@click.option(
    "--pace",
    type=click.FloatRange(0.001, 10.0),
    default=0.2,
    show_default=True,
    help="How long a step takes, as a share of its declared time.",
)
@click.option(
    "--seed", type=int, default=1, show_default=True, help="Reproduces what is by chance."
)
@click.option("-v", "--verbose", is_flag=True, help="Say more in the log.")
def serve(pace: float, seed: int, verbose: bool) -> None:
    """Run Kedge like kedge serve, but switch, boot and ask machines that are not there.

    The graph, the planner, the engine, the store and the API are the real ones. Nothing is sent
    to any network.
    """
    from kedge.master.modules.loading import Installed
    from kedge.sim.devices import Machines

    machines = Machines(pace=pace, seed=seed)
    run_master(verbose=verbose, modules=Installed(machines.simulated))


sim.add_command(run_once)
sim.add_command(soak)
sim.add_command(rollout)
