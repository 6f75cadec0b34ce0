"""The TFTP service, for firmware that cannot do better: Debian's in.tftpd on a folder of iPXE files.

The folder holds the firmware files of all built layer0 and nothing else; the server is locked into it,
reads only, and gives up its rights for every client.
"""

from __future__ import annotations

import asyncio
import shutil
from pathlib import Path

from kedge.lib.errors import KedgeError
from kedge.modules.boot.child import Child, Program
from kedge.modules.boot.firmware import firmware_files
from kedge.modules.boot.place import BootSettings, find_place, moved
from kedge.modules.port import Io

LOOK_S = 2.0
PORT = 69
LARGEST_BLOCK = 1468
"""Bytes of a block that fit into one Ethernet frame: some firmware cannot put fragments together."""


async def serve(io: Io, settings: BootSettings) -> None:
    """Serve TFTP for as long as it is not cancelled; raises `KedgeError` when it cannot."""
    place = find_place(io.site, settings)
    folder = io.state_dir / "run" / "tftp"
    offer(folder, firmware_files(io.state_dir))
    program = Program(
        "in.tftpd",
        [
            "--foreground",
            "--ipv4",
            *("--address", f"{place.address}:{PORT}"),
            *("--user", "nobody"),
            *("--blocksize", str(LARGEST_BLOCK)),
            "--secure",
            str(folder),
        ],
        package="tftpd-hpa",
        capabilities=("net_bind_service", "sys_chroot", "setuid", "setgid"),
    )
    async with Child(program) as child:
        ending = asyncio.create_task(child.ended())
        try:
            while not ending.done():
                await asyncio.wait([ending], timeout=LOOK_S)
                offer(folder, firmware_files(io.state_dir))
                if io.site.networks.get(settings.network) != place.described:
                    raise moved(place)
            raise ending.result()
        finally:
            ending.cancel()


def offer(folder: Path, files: dict[str, Path]) -> None:
    """Make ``folder`` hold exactly ``files``, each readable by everyone."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for parent in (folder.parent, folder):
            parent.chmod(0o755 if parent == folder else 0o711)
        for path in folder.iterdir():
            if path.name not in files:
                path.unlink()
        for name, source in files.items():
            target = folder / name
            there = target.stat() if target.exists() else None
            wanted = source.stat()
            if there and (there.st_size, there.st_mtime) == (wanted.st_size, wanted.st_mtime):
                continue
            draft = folder / f".{name}"
            shutil.copy2(source, draft)
            draft.chmod(0o444)
            draft.replace(target)
    except OSError as error:
        raise KedgeError(
            "boot.tftp_folder",
            "the folder of firmware files cannot be written",
            where=str(folder),
            why=error.strerror or str(error),
            next_step="Check the free space and the rights of the state directory",
        ) from error
