"""The tree of files that an image's layers make, held in memory; no path of it ever leaves its root."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from kedge.lib.errors import KedgeError
from kedge.modules.image.tar_reader import Member

_MAX_LINKS = 40
_MAX_NAME_BYTES = 255
_MAX_PATH_BYTES = 4095
_MAX_DEPTH = 256

Parts = tuple[bytes, ...]
"""A path inside the image, name by name; the root is the empty tuple."""


@dataclass(slots=True)
class Node:
    """A file or directory. ``attributes`` is the member that described it (its own name means nothing here);
    ``source`` is the number of its layer, bottom first, and its place in that layer. Hard links are one node
    with several places in the tree. Directories have ``children``, others None."""

    attributes: Member
    source: tuple[int, int]
    children: dict[bytes, Node] | None = None

    @property
    def is_dir(self) -> bool:
        return self.children is not None


def default_directory() -> Member:
    """What a directory is that no layer describes."""
    return Member(name=b"", kind="d", mode=0o755, uid=0, gid=0, mtime=0, size_bytes=0)


def find(root: Node, path: Parts) -> Node | None:
    """What is at exactly this path; symbolic links are not followed."""
    node: Node | None = root
    for name in path:
        if node is None or node.children is None:
            return None
        node = node.children.get(name)
    return node


def walk(root: Node) -> Iterator[tuple[Parts, Node]]:
    """Everything below the root with its path: parents first, names in order."""
    pending: list[tuple[Parts, Node]] = [((), root)]
    while pending:
        path, node = pending.pop()
        for name, child in sorted((node.children or {}).items()):
            yield (*path, name), child
            if child.children is not None:
                pending.append(((*path, name), child))


def resolve(root: Node, path: Parts, where: str) -> Parts:
    """Follow every symbolic link of ``path`` inside the root; what does not exist is kept as it is written.

    Raises KedgeError ``image.layer_refused`` when links lead in a circle or to a path that is too long.
    """
    resolved: list[bytes] = []
    nodes: list[Node | None] = [root]
    pending = list(reversed(path))
    links = 0
    while pending:
        name = pending.pop()
        if name == b"..":
            if resolved:
                resolved.pop()
                nodes.pop()
            continue
        above = nodes[-1]
        child = (
            above.children.get(name) if above is not None and above.children is not None else None
        )
        if child is None or child.attributes.kind != "l":
            resolved.append(name)
            nodes.append(child)
            continue
        links += 1
        if links > _MAX_LINKS:
            raise refused(where, f"{show(path)} leads through too many symbolic links")
        target = child.attributes.target
        if target.startswith(b"/"):
            resolved, nodes = [], [root]
        pending.extend(part for part in reversed(target.split(b"/")) if part not in (b"", b"."))
    if links:
        check_length(tuple(resolved), where)
    return tuple(resolved)


def split(name: bytes, where: str) -> Parts:
    """A member's name as a path in the root. A leading slash is dropped; '..' is refused."""
    if b"\0" in name:
        raise refused(where, f"the name {name[:200]!r} holds a zero byte")
    parts = tuple(part for part in name.split(b"/") if part not in (b"", b"."))
    if b".." in parts:
        raise refused(where, f"the name {name[:200]!r} climbs with '..'")
    check_length(parts, where)
    return parts


def check_length(path: Parts, where: str) -> None:
    """Refuse what no node could open."""
    size_bytes = sum(map(len, path)) + len(path)
    if (
        size_bytes > _MAX_PATH_BYTES
        or len(path) > _MAX_DEPTH
        or any(len(part) > _MAX_NAME_BYTES for part in path)
    ):
        raise refused(where, f"the name {show(path)[:100]}... is too long or too deep")


def show(path: Parts) -> str:
    """The path as a person reads it."""
    return "/" + b"/".join(path).decode("utf-8", "backslashreplace")


def refused(where: str, why: str) -> KedgeError:
    """The error for a layer that could not be unpacked without harm."""
    return KedgeError(
        "image.layer_refused",
        "this layer cannot be unpacked safely",
        where=where,
        why=why,
        next_step="Look at how this layer was built: one that an image builder made does not do this",
    )
