"""Duties that travelled to a simulated machine: fetched by digest, they take a while, and fail as files do.

When they run, how long they may take and what becomes of their reports is the production agent's and the
head's. What they would see is the machine's to say: their code looks at a real one.
"""

from __future__ import annotations

import asyncio
import hashlib
import random
from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from kedge.agent.process import Tell
from kedge.agent.travelling import Declared
from kedge.lib.errors import KedgeError
from kedge.sim.world.web import Answer

TAKES_S = (0.05, 4.0)
FETCHES, PAUSE_S = 5, 10.0


class Looks(Protocol):
    """The machine, as far as its duties need it."""

    ills: Any
    memory: Any

    @property
    def chance(self) -> random.Random: ...
    def get(self, url: str) -> Awaitable[Answer]: ...
    def url(self) -> str: ...


def seen(name: str, *, ill: bool) -> dict[str, Any]:
    """What a duty sees on a machine that is fit, or ``ill``."""
    if name == "scheduler.sessions":
        return {"scheduler.sessions": 0}
    if name != "health.look":
        return {}
    if ill:
        failed = [{"check": "gpus", "why": "one of 8 is gone", "who": "person"}]
        return {"health.verdict": "fail", "health.standing": "failed", "health.failed": failed}
    return {"health.verdict": "pass", "health.standing": "clear", "health.failed": []}


async def observe(
    machine: Looks, declared: Declared, found: dict[str, Any], tell: Tell
) -> dict[str, Any]:
    """Run one that sees ``found``, as its process would; raises `KedgeError`."""
    await _fetch(machine, declared)
    await asyncio.sleep(machine.chance.uniform(*TAKES_S))
    how = machine.ills.duties
    if how == "hang":
        await asyncio.get_running_loop().create_future()
    if how == "raise":
        raise KedgeError("duty.failed", "simulated: it raised", where=declared.name)
    tell({"values": dict.fromkeys(found, "purple") if how == "lie" else found})
    return {}


async def carry_out(machine: Looks, declared: Declared, done: Callable[[], None]) -> dict[str, Any]:
    """Carry out an order of one, which has the effect ``done``; raises `KedgeError`."""
    await _fetch(machine, declared)
    await asyncio.sleep(machine.chance.uniform(*TAKES_S))
    done()
    return {}


async def _fetch(machine: Looks, declared: Declared) -> None:
    """Have the duty's file, once in a boot, and no other."""
    kept = f"duty {declared.digest}"
    if machine.memory.load(kept) is not None:
        return
    why = ""
    for _ in range(FETCHES):
        try:
            answer = await machine.get(f"{machine.url()}/blobs/{declared.digest}")
        except OSError as problem:
            why = str(problem)
        else:
            content = answer.path.read_bytes() if answer.path is not None else b""
            if machine.ills.corrupts:
                content += b"?"
            if f"sha256:{hashlib.sha256(content).hexdigest()}" == declared.digest:
                machine.memory.save(kept, b"")
                return
            why = f"HTTP {answer.status}, {len(content)} bytes that are not it"
        await asyncio.sleep(PAUSE_S)
    raise KedgeError(
        "duty.unfetched", "a duty's file could not be fetched", where=declared.name, why=why
    )
