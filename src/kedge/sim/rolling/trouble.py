"""What goes wrong in a rollout of the simulated scheduler: nodes, gates, the scheduler, Kedge itself."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from kedge.rollout.model import Progress, Rollout
from kedge.rollout.record import as_record, read_record
from kedge.sim.rolling.world import World

SILENT_S = (60.0, 500.0)
"""Within the time that a step has to bring a node back."""


@dataclass(frozen=True, slots=True)
class Faults:
    """What goes wrong, by chance of a node, a gate or a round: an update that fails (again and again), a
    check that fails, a restart of everything, a node that a person drains, a gate that fails, a
    scheduler that is silent for a while, a node that dies under its job and boots anew."""

    update: float = 0.0
    check: float = 0.0
    restart: float = 0.0
    person: float = 0.0
    gate: float = 0.0
    silent: float = 0.0
    dies: float = 0.0


USUAL = Faults(
    update=0.002, check=0.002, restart=0.002, person=0.001, gate=0.2, silent=0.002, dies=0.01
)
"""What an unlucky site sees in one rollout."""


class Troubled(Protocol):
    """The driver of a rollout, as far as trouble reaches it."""

    world: World
    rollout: Rollout
    progress: Progress
    names: list[str]
    number: dict[str, int]
    image: dict[str, str]
    verdict: dict[str, str]
    by_person: set[str]
    touched: set[str]

    def start_engine(self) -> None: ...
    def observe(self, name: str) -> None: ...


class Trouble:
    """Draws what goes wrong in each round."""

    def __init__(self, driver: Troubled, faults: Faults, chance: random.Random) -> None:
        self._driver = driver
        self._faults = faults
        self._chance = chance
        self._silent_until = 0.0
        self.lost_jobs = 0

    def round(self) -> None:
        """A round passes."""
        driver, faults, chance = self._driver, self._faults, self._chance
        # else there is no room to go on
        most = min((driver.rollout.most_out, *driver.rollout.most_out_of.values()))
        spare = len(driver.by_person) < most - 1
        if spare and chance.random() < faults.person:
            self._drain(chance.choice(driver.names))
        if faults.silent and chance.random() < faults.silent:
            self._silent_until = driver.world.now + chance.uniform(*SILENT_S)
        if faults.dies and chance.random() < faults.dies:
            self._die(chance.choice(driver.names))
        if faults.restart and chance.random() < faults.restart:
            record = as_record(driver.rollout, driver.progress)
            driver.rollout, driver.progress = read_record(record)
            driver.start_engine()
            driver.touched.update(driver.names)

    def silent_s(self) -> float:
        """How long the scheduler is still silent."""
        return max(0.0, self._silent_until - self._driver.world.now)

    def _drain(self, name: str) -> None:
        """A person drains a node in the scheduler."""
        driver = self._driver
        number = driver.number[name]
        if name not in driver.by_person and driver.world.scheduler.open[number]:
            driver.by_person.add(name)
            driver.world.close(number)
            driver.observe(name)

    def _die(self, name: str) -> None:
        """A node crashes: its job is lost, and it has to boot anew; the scheduler takes it out."""
        driver = self._driver
        number = driver.number[name]
        if name in driver.by_person or driver.image[name] == "":
            return
        if driver.world.scheduler.open[number]:
            driver.world.close(number)
        if driver.world.scheduler.job[number] is not None:
            self.lost_jobs += 1
            driver.world.lose(number)
        driver.image[name], driver.verdict[name] = "", "none"
        driver.observe(name)
