"""What a simulated machine does for an order: fetch an image's layers over the network, and mount them.

Errors and patience are those of the production duty (`kedge.agent.duties.image_activate`); only files
and mounts are not there.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Mapping
from typing import Any, Protocol

from kedge.agent.duties import host_files
from kedge.agent.place import LAYER0
from kedge.agent.process import Tell
from kedge.lib.errors import KedgeError
from kedge.lib.host_files import HostFile, files_digest
from kedge.sim.world.web import Answer

GIVE_UP_S = 300.0
CORRUPT_TRIES = 2
PAUSE_MOST_S = 10.0
MOUNT_S = 0.5


class Fetcher(Protocol):
    """The machine, as far as its work needs it."""

    name: str
    stage: str
    ills: Any
    memory: Any

    def get(self, url: str) -> Awaitable[Answer]: ...
    def write_files(self, files: tuple[HostFile, ...]) -> None: ...
    def url(self) -> str: ...


async def fetch_until(machine: Fetcher, url: str, *, give_up_s: float) -> None:
    """Fetch until it is there; with ``give_up_s``, no longer than that. Raises `KedgeError`."""
    clock = asyncio.get_running_loop().time
    began, pause_s, why, corrupt = clock(), 0.5, "", 0
    while not give_up_s or clock() - began <= give_up_s:
        try:
            answer = await machine.get(url)
        except OSError as problem:
            why = str(problem)
        else:
            if answer.status == 200 and not machine.ills.corrupts:
                return
            if give_up_s and answer.status in (403, 404, 410):
                raise KedgeError(
                    "image.refused", "the head has no such layer", where=url,
                    why=f"HTTP {answer.status}",
                    next_step="Import the image again: kedge image import <reference>",
                )  # fmt: skip
            corrupt += answer.status == 200
            if give_up_s and corrupt >= CORRUPT_TRIES:
                raise KedgeError(
                    "image.corrupt", "a layer does not have the content its digest names",
                    where=url, next_step="Import the image again: kedge image import <reference>",
                )  # fmt: skip
        await asyncio.sleep(pause_s)
        pause_s = min(pause_s * 2, PAUSE_MOST_S)
    raise KedgeError(
        "image.unreachable", "a layer could not be fetched", where=url, why=why,
        next_step="Check the provision network between the head and the node",
    )  # fmt: skip


async def activate(
    machine: Fetcher, args: dict[str, Any], record: Mapping[str, bytes], tell: Tell
) -> dict[str, Any]:
    """Order ``image.activate``; raises `KedgeError`."""
    digest = args["digest"]
    if machine.stage != LAYER0:
        if machine.memory.load_object("state.json").get("image") == digest:
            return {}
        raise KedgeError(
            "agent.stage", "image.activate cannot be done now", where=machine.name,
            why=f"the node is in stage {machine.stage}, not layer0",
            next_step=f"Boot the node again: kedge power cycle {machine.name}",
        )  # fmt: skip
    layers = args["layers"]
    for number, layer in enumerate(layers, start=1):
        url = f"{machine.url()}/blobs/{layer['blob']}"
        await fetch_until(machine, url, give_up_s=GIVE_UP_S)
        what = f"fetching layer {number} of {len(layers)}"
        tell({"progress": {"what": what, "share": round(0.9 * number / len(layers), 3)}})
    if machine.ills.no_room:
        raise KedgeError(
            "image.no_room", "the image does not fit into the node's memory", where=machine.name,
            next_step="Use a smaller image, or a node with more memory",
        )  # fmt: skip
    files = host_files.parse(record)
    machine.write_files(files)
    await asyncio.sleep(MOUNT_S)
    result = {"image": digest, "files": files_digest(files), "systemd": True}
    result["start_within_s"] = args.get("start_within_s")
    return {"hand_over": result, "goes_on": True}
