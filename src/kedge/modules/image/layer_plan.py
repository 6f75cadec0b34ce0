"""Play layers onto a tree, as unpacking them one by one would, and plan each one's own file system.

A `LayerPlan` is the upper directory that overlayfs needs for that layer on top of those below. Semantics of
whiteouts: the OCI image specification, layer.md; of overlayfs: the kernel's
Documentation/filesystems/overlayfs.rst. A whiteout hides what lower layers hold and never what its own layer
does, wherever in the archive it stands.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from kedge.modules.image.tar_reader import Member
from kedge.modules.image.tree import (
    Node,
    Parts,
    check_length,
    default_directory,
    find,
    refused,
    resolve,
    show,
    split,
    walk,
)

_OPAQUE = b".wh..wh..opq"
_RESERVED = b".wh..wh."
_WHITEOUT = b".wh."
_KEPT_XATTRS = (b"user.", b"security.", b"trusted.")
_OVERLAY_XATTRS = (b"trusted.overlay.", b"user.overlay.")


@dataclass(slots=True)
class LayerPlan:
    """What one layer's file system is to hold.

    ``files`` maps the place of a member in the layer to the paths under which it lives on (several: hard
    links). ``context`` lists everything that was decided by what lies below: where it is empty, the layer
    converts the same in every image.
    """

    directories: dict[Parts, Member] = field(default_factory=dict[Parts, Member])
    opaque: set[Parts] = field(default_factory=set[Parts])
    whiteouts: set[Parts] = field(default_factory=set[Parts])
    files: dict[int, list[Parts]] = field(default_factory=dict[int, list[Parts]])
    context: list[str] = field(default_factory=list[str])

    @property
    def is_empty(self) -> bool:
        return not (self.files or self.whiteouts or self.opaque or any(self.directories))

    def context_key(self) -> str:
        """Tells apart the conversions of one layer on different ground; empty when there is only one."""
        if not self.context:
            return ""
        return hashlib.sha256("\n".join(sorted(self.context)).encode()).hexdigest()


def kept_xattrs(member: Member) -> tuple[tuple[bytes, bytes], ...]:
    """The extended attributes that squashfs can store and that cannot fool overlayfs."""
    return tuple(
        (name, value)
        for name, value in member.xattrs
        if name.startswith(_KEPT_XATTRS) and not name.startswith(_OVERLAY_XATTRS)
    )


class LayerStack:
    """The tree that the layers added so far make."""

    def __init__(self) -> None:
        self.root = Node(default_directory(), (-1, -1), {})
        self.layers = 0

    def add(self, members: Sequence[Member], *, where: str) -> LayerPlan:
        """Put one layer on top; KedgeError ``image.layer_refused`` when it cannot be unpacked safely."""
        plan = _Application(self.root, self.layers, where).run(members)
        self.layers += 1
        return plan

    def resolve(self, path: str) -> tuple[Parts, Node] | None:
        """Where this path leads, links followed inside the root, and what is there."""
        resolved = resolve(self.root, split(path.encode(), path), path)
        node = find(self.root, resolved)
        return None if node is None else (resolved, node)

    def flat_plans(self) -> list[LayerPlan]:
        """Plans that write the whole tree as one layer: directories in the first, files each in its own."""
        plans = [LayerPlan(context=["flat"]) for _ in range(self.layers)]
        plans[0].directories[()] = self.root.attributes
        for path, node in walk(self.root):
            if node.is_dir:
                plans[0].directories[path] = node.attributes
            else:
                plans[node.source[0]].files.setdefault(node.source[1], []).append(path)
        return plans


@dataclass(slots=True)
class _Application:
    """One layer on its way onto the tree."""

    root: Node
    layer: int
    where: str
    plan: LayerPlan = field(default_factory=LayerPlan)
    hidden: set[Parts] = field(default_factory=set[Parts])
    listed: set[Parts] = field(default_factory=set[Parts])
    placed: dict[Parts, Node] = field(default_factory=dict[Parts, Node])

    def run(self, members: Sequence[Member]) -> LayerPlan:
        for place, member in enumerate(members):
            path = split(member.name, self.where)
            strange = next((part for part in path[:-1] if part.startswith(_WHITEOUT)), b"")
            if strange.startswith(_RESERVED):
                continue  # bookkeeping of aufs, without meaning here
            if strange:
                raise refused(self.where, f"{show(path)} lies below a whiteout")
            if path and path[-1].startswith(_WHITEOUT):
                self._hide(path[:-1], path[-1])
            else:
                self._add(place, path, member)
        self._settle()
        return self.plan

    def _hide(self, above: Parts, marker: bytes) -> None:
        """Take away what lower layers hold, and leave what this one has put there already."""
        name = marker.removeprefix(_WHITEOUT)
        if marker == _OPAQUE:
            self._empty(above)
            return
        if marker.startswith(_RESERVED):
            return  # aufs again
        if name in (b"", b".", b".."):
            raise refused(self.where, f"it removes the impossible name {name!r}")
        resolved = self._resolve(above)
        full = (*resolved, name)
        parent = find(self.root, resolved)
        child = parent.children.get(name) if parent is not None and parent.children else None
        if parent is None or parent.children is None or child is None:
            self._note("nothing to hide", full)
            return
        if not self._strip(child, full):
            del parent.children[name]
        if child.is_dir or child.source[0] != self.layer:
            self.hidden.add(full)

    def _empty(self, path: Parts) -> None:
        resolved = self._resolve(path)
        folder = find(self.root, resolved)
        if folder is None or folder.children is None:
            self._note("nothing to empty", resolved)
            return
        if resolved:
            self.plan.opaque.add(resolved)
        else:  # overlayfs knows no opaque root: hide whatever is there, name by name
            self._note(f"empties {sorted(folder.children)}", path)
            self.hidden.update((name,) for name in folder.children)
        self._strip(folder, resolved)

    def _strip(self, node: Node, full: Parts) -> bool:
        """Remove all that lower layers have at and below this node; tells whether anything is left."""
        if node.children is None:
            return node.source[0] == self.layer
        for name, child in list(node.children.items()):
            if not self._strip(child, (*full, name)):
                del node.children[name]
        return bool(node.children) or full in self.listed or node.source[0] == self.layer

    def _add(self, place: int, path: Parts, member: Member) -> None:
        if not path:
            if member.kind != "d":
                raise refused(self.where, "it makes the root something else than a directory")
            self._describe(self.root, (), member)
            return
        full = (*self._resolve(path[:-1]), path[-1])
        siblings = self._make_parents(full)
        existing = siblings.get(full[-1])
        if member.kind == "d":
            if existing is None or not existing.is_dir:
                existing = self._put(siblings, full, Node(member, (self.layer, place), {}))
            self._describe(existing, full, member)
        elif member.kind == "h":
            self._put(siblings, full, self._link_target(path, member))
        elif member.kind in "cb" and member.device == (0, 0):
            raise refused(
                self.where, f"{show(path)} is a device 0:0, which means 'removed' to overlayfs"
            )
        else:
            self._put(
                siblings, full, Node(member._replace(name=b"", xattrs=()), (self.layer, place))
            )

    def _put(self, siblings: dict[bytes, Node], full: Parts, node: Node) -> Node:
        existing = siblings.get(full[-1])
        if node.is_dir and existing is not None and existing.source[0] == self.layer:
            self.hidden.add(
                full
            )  # this layer's file had hidden what was below; its directory must too
        siblings[full[-1]] = node
        if not node.is_dir:
            self.placed[full] = node
        return node

    def _describe(self, node: Node, full: Parts, member: Member) -> None:
        node.attributes = member._replace(name=b"", xattrs=kept_xattrs(member))
        self.listed.add(full)

    def _link_target(self, path: Parts, member: Member) -> Node:
        """A hard link's file must be of the same layer: one below belongs to another file system."""
        target = split(member.target, self.where)
        node = None
        if target:
            node = find(self.root, (*self._resolve(target[:-1]), target[-1]))
        if node is None or node.is_dir or node.source[0] != self.layer:
            raise refused(
                self.where,
                f"{show(path)} is a hard link to {show(target)}, no file of the same layer",
            )
        return node

    def _make_parents(self, full: Parts) -> dict[bytes, Node]:
        """The children of the directory that holds ``full``, made where no layer has it."""
        check_length(full, self.where)
        assert self.root.children is not None
        siblings = self.root.children
        for depth, name in enumerate(full[:-1], start=1):
            node = siblings.get(name)
            if node is None:
                node = self._put(
                    siblings, full[:depth], Node(default_directory(), (self.layer, -1), {})
                )
            if node.children is None:
                raise refused(
                    self.where, f"{show(full)} lies below {show(full[:depth])}, which is a file"
                )
            siblings = node.children
        return siblings

    def _resolve(self, path: Parts) -> Parts:
        resolved = resolve(self.root, path, self.where)
        if resolved != path:
            self._note(f"leads to {show(resolved)}", path)
        return resolved

    def _settle(self) -> None:
        """All is in the tree: work out what of it is this layer's own, its marks and their parents."""
        plan = self.plan
        for path, node in self.placed.items():
            if find(self.root, path) is node:
                plan.files.setdefault(node.source[1], []).append(path)
        plan.opaque = {path for path in plan.opaque if self._is_dir(path)}
        for path in sorted(self.hidden):
            if any(path[:depth] in plan.opaque for depth in range(len(path))):
                continue  # its parent hides it already
            if self._is_dir(path):
                plan.opaque.add(path)
            elif find(self.root, path) is None and self._is_dir(path[:-1]):
                plan.whiteouts.add(path)
        own = {path for path in self.listed if self._is_dir(path)} | plan.opaque
        own.update(path[:-1] for path in plan.whiteouts)
        own.update(path[:-1] for paths in plan.files.values() for path in paths)
        for directory in sorted({path[:depth] for path in own for depth in range(len(path) + 1)}):
            self._describe_own(directory)

    def _describe_own(self, path: Parts) -> None:
        node = find(self.root, path)
        assert node is not None
        attributes = node.attributes
        if path not in self.listed:
            facts = (attributes.mode, attributes.uid, attributes.gid, attributes.xattrs)
            if not path and facts == (0o755, 0, 0, ()):
                attributes = (
                    default_directory()
                )  # the root's time would make every layer one of a kind
            else:
                self._note(f"is {facts}, {attributes.mtime}", path)
        self.plan.directories[path] = attributes

    def _is_dir(self, path: Parts) -> bool:
        node = find(self.root, path)
        return node is not None and node.is_dir

    def _note(self, what: str, path: Parts) -> None:
        self.plan.context.append(f"{show(path)}: {what}")
