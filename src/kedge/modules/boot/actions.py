"""The boot module's own verbs: build layer0 for an architecture, and list what is built."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import cast

import msgspec

from kedge.core.kinds import Value
from kedge.core.module import Module
from kedge.modules.boot.layer0.build import build
from kedge.modules.boot.layer0.record import ARCHITECTURES, load_record, record_path
from kedge.modules.port import Io


async def build_layer0(io: Io, args: Mapping[str, Value]) -> Value:
    """Build layer0 for ``{"arch"}``; nodes take it at their next boot."""
    arch = str(args.get("arch") or "x86_64")
    mirror = args.get("mirror")
    loop = asyncio.get_running_loop()

    def tell(what: str, share: float) -> None:
        message: dict[str, Value] = {"arch": arch, "what": what, "share": share}
        loop.call_soon_threadsafe(io.publish, "layer0", message)

    record = await asyncio.to_thread(
        build, arch, io.state_dir, tell, mirror=str(mirror) if mirror else None
    )
    io.event("", "layer0", arch, f"built as {record.digest}")
    return cast("Value", msgspec.to_builtins(record))


async def list_layer0(io: Io, args: Mapping[str, Value]) -> Value:
    """What layer0 is built for which architecture."""
    built = [arch for arch in ARCHITECTURES if record_path(io.state_dir, arch).exists()]
    return cast("Value", [msgspec.to_builtins(load_record(io.state_dir, arch)) for arch in built])


def declare(module: Module) -> None:
    """Add the verbs to the module."""
    module.action("layer0-build")(build_layer0)
    module.action("layer0-list", harmless=True)(list_layer0)
