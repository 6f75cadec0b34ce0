"""Take out of an image what starts a node: its newest kernel, the modules for the initramfs, the arguments.

Debian and Ubuntu keep kernels as /boot/vmlinuz-<version>, others as /usr/lib/modules/<version>/vmlinuz.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from kedge.lib.errors import KedgeError
from kedge.modules.image.blobs import Blob, blob_path, work_folder, write_blob
from kedge.modules.image.kernel_formats import plain_kernel
from kedge.modules.image.kernel_modules import (
    LISTS,
    choose_modules,
    pack_modules,
    parse_dependencies,
)
from kedge.modules.image.layers import ConvertedImage
from kedge.modules.image.squashfs import extract
from kedge.modules.image.store import Kernel
from kedge.modules.image.tree import Parts

ARGS_LABEL = "kedge.kernel.args"
ARGS_FILE = "/etc/kedge/kernel-args"
DEFAULT_ARGS = {
    "x86_64": ("console=tty0", "console=ttyS0,115200"),
    "aarch64": ("console=ttyAMA0,115200",),
}
_VERSION = re.compile(r"[0-9][0-9A-Za-z.+~_-]{0,127}")
_ARGUMENT = re.compile(r"[A-Za-z0-9_.,:=/@+%~^*()\[\]-]{1,500}")
_MAX_ARGUMENTS = 100


@dataclass(frozen=True, slots=True)
class KernelParts:
    """What the firmware's loader is given."""

    kernel: Kernel
    modules: Blob
    args: tuple[str, ...]


def take_kernel(
    state_dir: Path, image: ConvertedImage, arch: str, labels: Mapping[str, str], where: str
) -> KernelParts:
    """Find and store kernel and modules of a converted image. Blocks (call it in a thread)."""
    files = _Files(state_dir, image, where)
    version, path = _newest_kernel(image, where)
    folder = _modules_folder(image, version, where)
    wanted = [path, ARGS_FILE, *(f"{folder}/{name}" for name in LISTS)]
    with work_folder(state_dir) as work:
        found = files.read(wanted, work)
        lists = {
            name: found[f"{folder}/{name}"].decode()
            for name in LISTS
            if f"{folder}/{name}" in found
        }
        if "modules.dep" not in lists:
            raise _no_kernel(where, f"{folder}/modules.dep is missing", "Run depmod in the image")
        modules = choose_modules(parse_dependencies(lists["modules.dep"], where))
        contents = files.read([f"{folder}/{module}" for module in modules], work)

    def read(module: str) -> bytes:
        if f"{folder}/{module}" not in contents:
            raise _no_kernel(
                where, f"{folder}/{module} is missing", "Install the kernel package again"
            )
        return contents[f"{folder}/{module}"]

    kernel = write_blob(state_dir, plain_kernel(found[path], arch, f"{where}: {path}"))
    packed = write_blob(state_dir, pack_modules(version, modules, read, lists, where))
    args = kernel_arguments(labels, found.get(ARGS_FILE), arch, where)
    return KernelParts(Kernel(version, kernel.blob, kernel.size_bytes), packed, args)


class _Files:
    """Reads regular files of the stacked layers, wherever in them they are."""

    def __init__(self, state_dir: Path, image: ConvertedImage, where: str) -> None:
        self._state_dir = state_dir
        self._image = image
        self._where = where

    def read(self, paths: Iterable[str], work: Path) -> dict[str, bytes]:
        """The contents of those that exist; symbolic links are followed inside the image."""
        by_layer: dict[int, dict[str, Parts]] = {}
        for path in paths:
            found = self._image.stack.resolve(path)
            if found is not None and found[1].attributes.kind in "fh":
                resolved, node = found
                by_layer.setdefault(self._image.number_of[node.source[0]], {})[path] = resolved
        contents: dict[str, bytes] = {}
        for number, names in by_layer.items():
            target = work / f"layer{number}"
            blob = blob_path(self._state_dir, self._image.layers[number].blob)
            inner = {
                path: b"/".join(parts).decode("utf-8", "surrogateescape")
                for path, parts in names.items()
            }
            extract(blob, sorted(set(inner.values())), target)
            for path, name in inner.items():
                contents[path] = (target / name).read_bytes()
        return contents


def _newest_kernel(image: ConvertedImage, where: str) -> tuple[str, str]:
    candidates: dict[str, str] = {}
    for version in _names(image, "/usr/lib/modules") | _names(image, "/lib/modules"):
        for folder in (f"/usr/lib/modules/{version}", f"/lib/modules/{version}"):
            if image.stack.resolve(f"{folder}/vmlinuz"):
                candidates[version] = f"{folder}/vmlinuz"
    for name in _names(image, "/boot"):
        if name.startswith("vmlinuz-"):
            candidates[name.removeprefix("vmlinuz-")] = f"/boot/{name}"
    usable = [version for version in candidates if _VERSION.fullmatch(version)]
    if not usable:
        raise _no_kernel(
            where,
            "there is neither /boot/vmlinuz-* nor /usr/lib/modules/*/vmlinuz",
            "Install a kernel package",
        )
    newest = max(usable, key=version_key)
    return newest, candidates[newest]


def version_key(version: str) -> tuple[tuple[int, int, str], ...]:
    """Sorts kernel versions: numbers as numbers, and before letters (so 6.12.10 is after 6.12.9, and
    6.12 after 6.12-rc1 and 6.12~rc1)."""
    parts = re.findall(r"[0-9]+|[A-Za-z]+|~", version)
    key = tuple(
        (2, int(part), "") if part.isdigit() else (0 if part in ("rc", "~") else 1, 0, part)
        for part in parts
    )
    return (*key, (1, 0, ""))


def _modules_folder(image: ConvertedImage, version: str, where: str) -> str:
    for folder in (f"/usr/lib/modules/{version}", f"/lib/modules/{version}"):
        found = image.stack.resolve(folder)
        if found is not None and found[1].is_dir:
            return folder
    raise _no_kernel(
        where, f"/usr/lib/modules/{version} is missing", "Install that kernel's modules"
    )


def _names(image: ConvertedImage, folder: str) -> set[str]:
    found = image.stack.resolve(folder)
    children = found[1].children if found is not None else None
    return {name.decode("utf-8", "replace") for name in children or {}}


def kernel_arguments(
    labels: Mapping[str, str], file: bytes | None, arch: str, where: str
) -> tuple[str, ...]:
    """The image's label, else its file, else the architecture's default. They end up in a boot script, so
    nothing passes that could mean something to it."""
    if ARGS_LABEL in labels:
        args = tuple(labels[ARGS_LABEL].split())
    elif file is not None:
        args = tuple(file.decode("utf-8", "replace").split())
    else:
        args = DEFAULT_ARGS[arch]
    for arg in args:
        if not _ARGUMENT.fullmatch(arg) or arg.startswith("kedge."):
            raise KedgeError(
                "image.bad_kernel_args",
                f"the kernel argument '{arg[:80]}' is not allowed",
                where=where,
                why="letters, digits and _.,:=/@+%~^*()[]- are, and none that begins with 'kedge.'",
                next_step=f"Change the label {ARGS_LABEL} or {ARGS_FILE} of the image",
            )
    if len(args) > _MAX_ARGUMENTS:
        raise KedgeError(
            "image.bad_kernel_args", "there are too many kernel arguments", where=where
        )
    return args


def _no_kernel(where: str, why: str, next_step: str) -> KedgeError:
    return KedgeError(
        "image.no_kernel",
        "the image has no kernel that a node could start",
        where=where,
        why=why,
        next_step=f"{next_step}, then build and push the image again",
    )
