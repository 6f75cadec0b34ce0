"""Put the bytecode of all that a boot loads into one file: ``python3 -S bundle_agent.py TREE NATIVE``.

It imports what the agent imports up to the hand-over, and packs the modules that came. ``NATIVE`` is a
tree of this machine's architecture that they are imported from (but Kedge from ``TREE``); their bytecode
is the one in ``TREE``. What reads the file, and its form: `kedge.agent.start`.
"""

from __future__ import annotations

import importlib
import marshal
import os
import sys
from importlib.util import cache_from_source
from pathlib import Path
from types import ModuleType

_SITE = "usr/lib/python3/dist-packages"
_STARTER = "usr/lib/kedge/start-agent.pyc"
_BUNDLE = "usr/lib/kedge/agent.bundle"
_HEADER_BYTES = 16  # of a .pyc file; bytecode follows


def main(root: Path, native: Path) -> None:
    """Write the bundle, and the program that starts the agent out of it."""
    sys.path += [str(native / _SITE), str(root / _SITE)]
    _load_what_a_boot_loads()
    index: dict[str, tuple[int, int, bool, str]] = {}
    parts: list[bytes] = []
    at = 0
    for name, module in sorted(sys.modules.items()):
        path = _bytecode(module, root, native)
        if path is None:
            continue
        part = (root / path).read_bytes()[_HEADER_BYTES:]
        index[name] = at, len(part), hasattr(module, "__path__"), f"/{_source(path)}"
        parts.append(part)
        at += len(part)
    listing = marshal.dumps(index)
    (root / _BUNDLE).write_bytes(len(listing).to_bytes(4, "little") + listing + b"".join(parts))
    starter = root / _SITE / "kedge/agent/start.py"
    (root / _STARTER).write_bytes(Path(cache_from_source(starter)).read_bytes())


def _load_what_a_boot_loads() -> None:
    for name in ("kedge.agent.__main__", "kedge.agent.fetch", "ctypes"):
        importlib.import_module(name)
    keys = importlib.import_module("kedge.sync.keys")
    private, public = keys.new_key_pair(os.urandom)
    keys.derive(bytes(32), private, public, b"", b"")  # loads its parts when it is used first


def _bytecode(module: ModuleType, root: Path, native: Path) -> Path | None:
    """Where the tree has the module's bytecode, from the tree's root; None for what has none there."""
    origin = Path(getattr(getattr(module, "__spec__", None), "origin", None) or "")
    for tree in (root, native):
        if origin.is_relative_to(tree) and origin.suffix in (".py", ".pyc"):
            path = origin.relative_to(tree)
            if (root / path).suffix == ".py" and (root / path).exists():
                return Path(cache_from_source(root / path)).relative_to(root)
            return path.with_suffix(".pyc") if (root / path.with_suffix(".pyc")).exists() else None
    return None


def _source(path: Path) -> Path:
    """What ``__file__`` says, for bytecode at ``path``."""
    if path.parent.name != "__pycache__":
        return path
    return path.parent.parent / f"{path.name.split('.')[0]}.py"


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
