"""What simulated machines are like: how long they take, what may be wrong with them, what is around them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from kedge.sim.world.loop import Loop
from kedge.sim.world.network import Network
from kedge.sim.world.time import World
from kedge.sim.world.web import Web


class Times(NamedTuple):
    """How long the parts of a boot take, from and to, in seconds."""

    firmware: tuple[float, float] = (8.0, 40.0)
    kernel: tuple[float, float] = (2.0, 6.0)
    init: tuple[float, float] = (4.0, 15.0)
    going_down: tuple[float, float] = (2.0, 12.0)


@dataclass
class Ills:
    """What is wrong with a machine now."""

    sits_in_firmware: bool = False
    init_never_up: bool = False
    root_full: bool = False
    no_room: bool = False
    corrupts: bool = False
    unfit: bool = False
    duties: str = ""


@dataclass(frozen=True)
class Outside:
    """What all machines share: the world, its networks, who answers to a boot request, and what is wrong
    with an image."""

    world: World
    network: Network
    web: Web
    physics: Loop
    boot_urls: Callable[[str], list[str]]
    rises: Callable[..., None]
    ill: Callable[[str], str]
    times: Times = field(default_factory=Times)
