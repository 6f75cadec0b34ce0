"""One QEMU machine that starts a kernel directly, for the tests of layer0."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path

from layer0_head import NODE, Blobs, Head

MAC = "52:54:00:77:00:01"
GATEWAY = "10.0.2.2"  # what QEMU's user network calls this machine's loopback


class Machine:
    """A machine whose console goes to a file; ends with `close` whatever happens."""

    def __init__(
        self, folder: Path, kernel: Path, initrds: Sequence[Path], arguments: str, memory: int
    ) -> None:
        self.console_path = folder / "console"
        initrd = folder / "initrd"
        with initrd.open("wb") as joined:
            for part in initrds:
                content = part.read_bytes()
                joined.write(content + b"\0" * (-len(content) % 4))
        command = [
            "qemu-system-x86_64", "-M", "q35", "-accel", "tcg,thread=multi", "-cpu", "qemu64,-cx16",
            "-smp", "2", "-m", str(memory), "-display", "none", "-nodefaults", "-no-user-config",
            "-serial", f"file:{self.console_path}", "-monitor", "none",
            "-netdev", "user,id=n", "-device", f"virtio-net-pci,netdev=n,mac={MAC},romfile=",
            "-device", "virtio-rng-pci", "-kernel", str(kernel), "-initrd", str(initrd),
            "-append", arguments, "-no-reboot",
        ]  # fmt: skip
        self._process = subprocess.Popen(command, stdin=subprocess.DEVNULL)

    @property
    def console(self) -> str:
        return self.console_path.read_text(errors="replace") if self.console_path.exists() else ""

    @property
    def is_off(self) -> bool:
        return self._process.poll() is not None

    def close(self) -> None:
        self._process.kill()
        self._process.wait()


def kernel_arguments(head: Head, blobs: Blobs, layer0: str, extra: str = "") -> str:
    """What the boot script puts on the kernel's command line."""
    token = base64.urlsafe_b64encode(head.token).decode().rstrip("=")
    return (
        f"console=ttyS0 {extra} kedge.url=http://{GATEWAY}:{blobs.port} kedge.node={NODE}"
        f" kedge.mac={MAC} kedge.epoch=1.1 kedge.token={token}"
        f" kedge.parent={GATEWAY}:{head.port} kedge.layer0={layer0}"
    )
