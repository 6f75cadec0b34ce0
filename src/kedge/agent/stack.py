"""Mount an image's layers as one writable root: read-only squashfs below, an overlay in RAM on top.

Runs in the initramfs's own mounts (see `kedge.agent.process.in_host`). Only the finished root stays
visible: the layers and the overlay's RAM disk are detached and live as long as the root does.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from pathlib import Path

from kedge.agent.syscalls import MS_NODEV, MS_NOSUID, MS_RDONLY, attach_loop, mount, unmount
from kedge.lib.errors import KedgeError

_WORKSHOP = "/kedge"  # where the parts are mounted until they are put together; short on purpose
_OPTIONS_MAX_BYTES = 4000  # mount(2) takes one page of options


def mount_image(layers: Sequence[str], root: str, *, upper_share: str = "80%") -> None:
    """Mount ``layers`` (paths of squashfs files, bottom first) on ``root``.

    ``upper_share`` of the memory is the most that the writable part may grow to.
    """
    unmount_image(root)
    Path(root).mkdir(parents=True, exist_ok=True)
    lower: list[str] = []
    try:
        for number, path in enumerate(layers):
            target = f"{_WORKSHOP}/{number}"
            Path(target).mkdir(parents=True, exist_ok=True)
            _mount_layer(path, target)
            lower.append(target)
        upper = f"{_WORKSHOP}/upper"
        Path(upper).mkdir(parents=True, exist_ok=True)
        mount("tmpfs", upper, "tmpfs", MS_NOSUID | MS_NODEV, f"mode=0755,size={upper_share}")
        lower.append(upper)
        Path(upper, "top").mkdir(mode=0o755)
        Path(upper, "work").mkdir(mode=0o755)
        stack = ":".join(reversed(lower[:-1]))
        options = f"lowerdir={stack},upperdir={upper}/top,workdir={upper}/work"
        if len(options) > _OPTIONS_MAX_BYTES:
            raise KedgeError(
                "image.too_many_layers",
                f"the image has {len(layers)} layers, more than the kernel can stack",
                next_step="Flatten the image and import it again",
            )
        _mount_overlay(root, options)
    finally:
        for target in reversed(lower):
            with contextlib.suppress(OSError):
                unmount(target)


def unmount_image(root: str) -> None:
    """Take an earlier attempt away, if there is one."""
    while os.path.ismount(root):
        unmount(root)


def _mount_overlay(root: str, options: str) -> None:
    try:
        mount("overlay", root, "overlay", 0, options)
    except OSError as problem:
        raise KedgeError(
            "image.not_stackable",
            "the image's layers could not be stacked",
            why=f"{problem.strerror}; the image's kernel needs overlay, and layers of one image",
            next_step="Import the image again, or use another kernel in it",
        ) from None


def _mount_layer(path: str, target: str) -> None:
    device, descriptor = attach_loop(path)
    try:
        mount(device, target, "squashfs", MS_RDONLY)
    except OSError as problem:
        raise KedgeError(
            "image.layer_unmountable",
            "a layer could not be mounted",
            where=path,
            why=f"{problem.strerror}; the image's kernel needs squashfs with its compression",
            next_step="Import the image again, or use another kernel in it",
        ) from None
    finally:
        os.close(descriptor)
