"""Choose the kernel modules that an initramfs needs, with what they depend on, and pack them as a cpio.

The lists come from depmod (`modules.dep`, `modules.builtin`); the names from `kedge.lib.kernel_modules`.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterable, Mapping

from kedge.lib import cpio
from kedge.lib.errors import KedgeError
from kedge.lib.kernel_modules import BOOT_MODULES, DRIVER_MODULES
from kedge.modules.image.kernel_formats import decompress

_SUFFIXES = {".ko": "", ".ko.gz": "gzip", ".ko.xz": "xz", ".ko.zst": "zstd"}
LISTS = ("modules.dep", "modules.builtin", "modules.alias", "modules.softdep", "modules.order")
"""The files of depmod and of the kernel package that are wanted beside the modules."""


def parse_dependencies(text: str, where: str) -> dict[str, tuple[str, ...]]:
    """``modules.dep``: each module's path and those of what it needs, as written there."""
    dependencies: dict[str, tuple[str, ...]] = {}
    for line in text.splitlines():
        path, colon, rest = line.partition(":")
        if not colon:
            continue
        needed = tuple(rest.split())
        for name in (path, *needed):
            if name.startswith("/") or ".." in name.split("/") or not _suffix(name):
                raise KedgeError(
                    "image.bad_kernel",
                    f"modules.dep names '{name[:200]}', which is no module",
                    where=where,
                    next_step="Run depmod in the image and build it again",
                )
        dependencies[path] = needed
    return dependencies


def choose_modules(dependencies: Mapping[str, tuple[str, ...]]) -> list[str]:
    """The paths of all wanted modules that this kernel has as files, dependencies first."""
    by_name = {module_name(path): path for path in dependencies}
    chosen: dict[str, None] = {}
    for name in (*BOOT_MODULES, *DRIVER_MODULES):
        path = by_name.get(name)
        if path is not None:
            for needed in reversed(dependencies[path]):  # modules.dep lists the nearest first
                chosen[needed] = None
            chosen[path] = None
    return list(chosen)


def module_name(path: str) -> str:
    """``kernel/net/virtio-net.ko.xz`` is virtio_net to the kernel."""
    return path.rsplit("/", 1)[-1].split(".", 1)[0].replace("-", "_")


def pack_modules(
    version: str,
    paths: Iterable[str],
    read: Callable[[str], bytes],
    lists: Mapping[str, str],
    where: str,
) -> bytes:
    """A gzip-compressed newc cpio with ``lib/modules/<version>/...``: plain ``.ko`` files, and the lists
    cut to what is in it. gzip, because every kernel can unpack it."""
    paths = list(paths)
    kept = {module_name(path) for path in paths}
    base = f"lib/modules/{version}"
    entries = [
        cpio.file(f"{base}/{name}", _cut(name, text, kept).encode()) for name, text in lists.items()
    ]
    for path in paths:
        suffix = _suffix(path)
        content = read(path)
        if _SUFFIXES[suffix]:
            content = decompress(content, _SUFFIXES[suffix], f"{where}: {path}")
        if not content.startswith(b"\x7fELF"):
            raise KedgeError(
                "image.bad_kernel", "this is no kernel module", where=f"{where}: {path}"
            )
        entries.append(cpio.file(f"{base}/{_plain(path)}", content))
    packer = zlib.compressobj(level=6, wbits=31)
    pieces = [packer.compress(piece) for piece in cpio.archive(cpio.with_parents(entries))]
    return b"".join([*pieces, packer.flush()])


def _cut(name: str, text: str, kept: set[str]) -> str:
    """The lines of a list that speak of packed modules, their names ending in plain ``.ko``."""
    if name == "modules.builtin":
        return text
    lines: list[str] = []
    for line in text.splitlines():
        words = line.split()
        if name == "modules.alias":  # alias PATTERN MODULE
            keep = len(words) == 3 and words[2].replace("-", "_") in kept
        elif name == "modules.softdep":  # softdep MODULE pre: ... post: ...
            keep = len(words) > 1 and words[1].replace("-", "_") in kept
        else:  # modules.dep: PATH: PATH ..., modules.order: PATH
            keep = bool(words) and module_name(words[0].rstrip(":")) in kept
            line = " ".join(_plain(word) for word in words)
        if keep:
            lines.append(line + "\n")
    return "".join(lines)


def _plain(path: str) -> str:
    colon = ":" if path.endswith(":") else ""
    path = path.rstrip(":")
    suffix = _suffix(path)
    return (path.removesuffix(suffix) + ".ko" if suffix else path) + colon


def _suffix(path: str) -> str:
    return next((suffix for suffix in _SUFFIXES if path.endswith(suffix)), "")
