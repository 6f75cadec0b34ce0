"""Finding modules: the installed ones by their entry points, imported anew where they have changed.

What was imported before is put back when something does not work, so that a broken package changes
nothing in the running process.
"""

from __future__ import annotations

import hashlib
import importlib
import sys
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any

from kedge.core.module import Module
from kedge.lib.errors import KedgeError
from kedge.master.process.supervisor import attempt

ENTRY_POINTS = "kedge.modules"
OWN = "kedge"


@dataclass(frozen=True)
class Loaded:
    """A module and where it comes from: its package and version, the folder of its code, and a digest
    of that code, which tells whether it has changed."""

    module: Module
    package: str = ""
    package_version: str = ""
    entry: str = ""
    folder: str = ""
    digest: str = ""


Source = Callable[[Collection[str] | None], list[Loaded]]
"""Gives all modules; what has changed is imported anew, and so are the modules named (None: nothing is)."""


def given(modules: Iterable[Module]) -> Source:
    """Always the same modules."""
    found = [Loaded(module) for module in modules]
    return lambda fresh: found


class Installed:
    """All modules of the entry-point group, Kedge's own and third parties'. ``adapt`` makes others of
    them (the simulator's)."""

    def __init__(self, adapt: Callable[[list[Module]], list[Module]] = lambda found: found) -> None:
        self._adapt = adapt
        self._digests: dict[str, str] = {}

    def __call__(self, fresh: Collection[str] | None) -> list[Loaded]:
        """Raises `KedgeError`, and changes nothing, when a package cannot be imported."""
        importlib.invalidate_caches()
        points = sorted(entry_points(group=ENTRY_POINTS), key=lambda p: p.name)
        if fresh is not None:
            _check_names(fresh, points)
        before = dict(sys.modules)
        try:
            loaded = [self._load(point, fresh) for point in points]
        except KedgeError:
            for name in [name for name in sys.modules if name not in before]:
                del sys.modules[name]
            sys.modules.update(before)
            raise
        self._digests = {found.entry: found.digest for found in loaded}
        adapted = self._adapt([found.module for found in loaded])
        return [
            Loaded(module, f.package, f.package_version, f.entry, f.folder, f.digest)
            for module, f in zip(adapted, loaded, strict=True)
        ]

    def _load(self, point: EntryPoint, fresh: Collection[str] | None) -> Loaded:
        root = _root(point)
        known = self._digests.get(point.value)
        if fresh is not None and (point.name in fresh or known != _digest(sys.modules.get(root))):
            for name in [n for n in sys.modules if n == root or n.startswith(f"{root}.")]:
                del sys.modules[name]
        found = attempt(point.load)
        if isinstance(found, KedgeError):
            raise KedgeError(
                "module.import", "the module cannot be imported", where=f"entry point {point.name}",
                why=found.what,
                next_step=f"Mend or remove the package of {point.value}; then: kedge module reload",
            ) from found  # fmt: skip
        if not isinstance(found, Module):
            raise KedgeError(
                "module.invalid", f"{point.value} is not a kedge.core.module.Module",
                where=f"entry point {point.name}",
            )  # fmt: skip
        package = point.dist
        root_module = sys.modules.get(root)
        return Loaded(
            found,
            package.name if package else "",
            package.version if package else "",
            point.value,
            _folder(root_module),
            _digest(root_module),
        )


def _check_names(names: Collection[str], points: Iterable[EntryPoint]) -> None:
    known = [point.name for point in points]
    unknown = sorted(set(names) - set(known))
    if unknown:
        raise KedgeError(
            "module.unknown", f"no installed module is called {', '.join(unknown)}",
            next_step=f"Installed: {', '.join(known)}",
        )  # fmt: skip


def _root(point: EntryPoint) -> str:
    """The package that holds the module: of Kedge's own that of the module alone."""
    path = point.module.split(".")
    return point.module if path[0] == OWN else path[0]


def _folder(root: ModuleType | None) -> str:
    file: Any = getattr(root, "__file__", None)
    if not isinstance(file, str):
        return ""
    path = Path(file)
    return str(path.parent if path.name == "__init__.py" else path)


def _digest(root: ModuleType | None) -> str:
    """A digest of the code of a package as it lies on the disk now."""
    folder = _folder(root)
    if not folder:
        return ""
    path = Path(folder)
    files = sorted(path.rglob("*.py")) if path.is_dir() else [path]
    digest = hashlib.blake2b(digest_size=16)
    for file in files:
        if file.is_file():
            digest.update(str(file).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()
