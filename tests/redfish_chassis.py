"""A machine that is not there, behind the lab's Redfish service."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any


@dataclass
class Chassis:
    """What the lab's BMC switches."""

    uuid: str = "11111111-2222-3333-4444-555555555555"
    on: bool = False
    next_boot: str = "none"
    deaf: int = 0  # so many times the system does not hear its button
    did: list[str] = field(default_factory=list)

    def power(self) -> Any:
        return SimpleNamespace(on=self.on, next_boot=self.next_boot)

    def set_next_boot(self, device: str) -> None:
        self.did.append(f"boot {device}")
        self.next_boot = device

    async def switch_on(self) -> None:
        self.did.append("on")
        self.on = True

    async def switch_off(self) -> None:
        self.did.append("off")
        self.on = False

    async def press_button(self) -> None:
        self.did.append("button")
        self.on, self.deaf = self.deaf > 0, max(0, self.deaf - 1)
