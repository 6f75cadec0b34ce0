"""Random layers, as a builder could make them, look on a node as umoci unpacks them."""

from __future__ import annotations

import random
import tempfile
from pathlib import Path

import pytest
from image_oracle import Layer, can_mount, convert, kedge_tree, umoci_tree

pytestmark = [
    pytest.mark.skipif(
        not can_mount(), reason="needs root, umoci, and overlay and squashfs mounts"
    ),
    pytest.mark.slow,
]

Tree = dict[str, object]
"""Directories are dicts, everything else is None."""


class Builder:
    """Changes a tree at random and writes each round down as a layer."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)
        self.tree: Tree = {}
        self.stamp = 0

    def layers(self, count: int) -> list[bytes]:
        return [self.layer(first=number == 0) for number in range(count)]

    def layer(self, *, first: bool) -> bytes:
        layer = Layer()
        listed: set[str] = {""}
        removed: set[str] = set()
        written: list[str] = []
        for _ in range(self.dice.randint(4, 14)):
            folder, inside = self.pick_folder()
            if any(gone == folder or folder.startswith(gone + "/") for gone in removed):
                continue
            if first or self.dice.random() < 0.7:
                self.list_parents(layer, folder, listed)
            name = self.dice.choice("abcd")
            path = f"{folder}/{name}".lstrip("/")
            action = self.dice.random()
            if path in removed or path in written or path in listed:
                continue
            if action < 0.3 and name in inside and not first:
                if any(other.startswith(path + "/") for other in (*written, *listed)):
                    continue  # removed and made again without being listed: nobody says what it is then
                layer.gone(path)
                removed.add(path)
                del inside[name]
                continue
            if (
                action < 0.36
                and folder
                and not first
                and not any(w.startswith(folder + "/") for w in written)
            ):
                if any(path.startswith(folder + "/") for path in (*listed, *removed)):
                    continue
                self.list_parents(layer, folder, listed)
                layer.opaque(folder)
                inside.clear()
                continue
            self.write(layer, path, inside, written, listed, removed)
        return layer.bytes()

    def write(
        self,
        layer: Layer,
        path: str,
        inside: Tree,
        written: list[str],
        listed: set[str],
        removed: set[str],
    ) -> None:
        name = path.rpartition("/")[2]
        was_dir = isinstance(inside.get(name), dict)
        if was_dir and any(other.startswith(path + "/") for other in (*written, *listed, *removed)):
            return
        action = self.dice.random()
        self.stamp += 1
        fields: dict[str, object] = {
            "mode": self.dice.choice([0o755, 0o640, 0o700, 0o1777, 0o4711]),
            "uid": self.dice.choice([0, 1000, 70_000]),
            "mtime": 1_600_000_000 + self.stamp,
        }
        if action < 0.4:
            layer.dir(path + "/", **fields)
            if not was_dir:
                inside[name] = {}
            listed.add(path)
            return
        if action < 0.8:
            layer.file(path, str(self.stamp).encode(), **fields)
        elif action < 0.9 or not written:
            layer.link(
                path, self.dice.choice(["a", "../b", "/c/d", "nowhere"]), mtime=fields["mtime"]
            )
        else:
            layer.hard(path, self.dice.choice(written))
        written.append(path)
        inside[name] = None

    def pick_folder(self) -> tuple[str, Tree]:
        path, inside = "", self.tree
        while self.dice.random() < 0.6:
            inner = sorted(name for name, child in inside.items() if isinstance(child, dict))
            if not inner:
                break
            name = self.dice.choice(inner)
            child = inside[name]
            assert isinstance(child, dict)
            path, inside = f"{path}/{name}", child
        return path.lstrip("/"), inside

    def list_parents(self, layer: Layer, folder: str, listed: set[str]) -> None:
        parts = folder.split("/")
        for depth in range(1, len(parts) + 1):
            parent = "/".join(parts[:depth])
            if parent not in listed:
                listed.add(parent)
                self.stamp += 1
                layer.dir(parent + "/", mtime=1_600_000_000 + self.stamp)


@pytest.mark.parametrize("seed", range(12))
def test_same_as_umoci(seed: int) -> None:
    layers = Builder(seed).layers(2 + seed % 5)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        theirs = umoci_tree(folder, layers)
        for flatten_above in (100, 0):
            image = convert(folder, layers, flatten_above)
            assert kedge_tree(folder, image) == theirs
