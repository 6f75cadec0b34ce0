"""A rollout with all that goes wrong at an unlucky site: how it ends, what it costs, whether rules held."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from typing import Any

from rich.console import RenderableType
from rich.table import Table

from kedge.rollout.wording import some
from kedge.sim.rolling.driver import Driver
from kedge.sim.rolling.jobs import MOST_S
from kedge.sim.rolling.trouble import USUAL
from kedge.sim.rolling.ways import weekly
from kedge.sim.rolling.world import World

WARM_S, LOOK_S = 24 * 3600.0, 6 * 3600.0
LONGEST_S = 10 * MOST_S
RACK = 2
"""So many nodes of a rack may be out at once, in every second trial. In three of four, one node of a hundred
may fail before the rollout stops."""


@dataclass(frozen=True, slots=True)
class Trial:
    """``out_h`` are the node-hours without a job on nodes that took none, for each node that was given
    the release; ``killed`` are jobs that the rollout disturbed, ``lost`` those of nodes that crashed.
    ``broken`` are the rules that were broken."""

    seed: int
    nodes: int
    state: str
    hours: float
    updated: int
    out_h: float
    most_taken: int
    most_allowed: int
    killed: int
    lost: int
    stops: tuple[str, ...]
    left: str
    broken: tuple[str, ...]

    def as_dict(self) -> dict[str, Any]:
        """As ``-o json`` shows it."""
        return asdict(self)


def trial(nodes: int, seed: int, tell: Callable[[str], None]) -> Trial:
    """One rollout to its end."""
    world = World(seed, nodes)
    world.run_until(WARM_S)
    world.count_from_now()
    rollout = weekly(nodes, seed=seed)
    if seed % 2:
        rollout = replace(rollout, most_out_of={"rack": RACK})
    if seed % 4 < 3:
        rollout = replace(rollout, most_failed=nodes // 100)
    driver = Driver(world, rollout, faults=USUAL, seed=seed)
    while driver.over_at < 0 and world.now < WARM_S + LONGEST_S:
        world.run_until(world.now + LOOK_S)
        done = sum(1 for image in driver.image.values() if image == "B")
        tell(f"seed {seed}: {(world.now - WARM_S) / 3600:.0f} h, {done} of {nodes} updated")
    return _result(driver, seed)


def _result(driver: Driver, seed: int) -> Trial:
    world, watch = driver.world, driver.watch
    updated = [name for name in driver.names if driver.image[name] == "B"]
    broken = list(watch.broken)
    if driver.over_at < 0:
        broken.append(f"the rollout did not end: {driver.progress.state} {driver.progress.why}")
    back = driver.progress.state == "rolled_back"
    left = [n for n in driver.names if (driver.image[n] == "B") == back]
    return Trial(
        seed=seed,
        nodes=world.nodes,
        state=driver.progress.state,
        hours=round((max(driver.over_at, 0.0) - WARM_S) / 3600, 1),
        updated=len(updated),
        out_h=round(world.lost.out_s / 3600 / max(1, len(watch.moved)), 4),
        most_taken=watch.most_taken,
        most_allowed=driver.rollout.most_out,
        killed=watch.killed,
        lost=driver.trouble.lost_jobs,
        stops=tuple(driver.stops),
        left=some(left) if left else "",
        broken=tuple(broken),
    )


def trial_lines(trials: list[Trial]) -> Iterator[RenderableType]:
    """For people."""
    table = Table(box=None, pad_edge=False)
    for title in ("seed", "ended", "took, h", "updated", "out, h a node", "most out", "jobs killed",
                  "lost by crashes", "stops"):  # fmt: skip
        table.add_column(title, justify="left" if title == "ended" else "right")
    for one in trials:
        table.add_row(
            str(one.seed), one.state.replace("_", " "), f"{one.hours:.0f}", str(one.updated),
            f"{one.out_h:.3f}", f"{one.most_taken} of {one.most_allowed}", str(one.killed),
            str(one.lost), str(len(one.stops)),
        )  # fmt: skip
    yield table
    for one in trials:
        yield from (f"seed {one.seed} stopped: {why}" for why in one.stops)
        if one.left:
            yield f"seed {one.seed} left: {one.left}"
        yield from (f"seed {one.seed} BROKEN RULE  {what}" for what in one.broken)
