"""Compile all Python files below a tree: ``python3 compile_all.py TREE``.

Only the bytecode is kept of the standard library and of third-party packages: half the size, and
faster to find. Kedge's own files keep their source, for readable traces.
"""

from __future__ import annotations

import compileall
import sys
from pathlib import Path
from py_compile import PycInvalidationMode

PACKAGES = "/dist-packages/"
OURS = "/dist-packages/kedge/"


def main(root: Path) -> bool:
    """Whether every file could be compiled."""
    done = True
    for folder in (root / "usr/lib").glob("python3*"):
        for path in sorted(folder.rglob("*.py")):
            ours = OURS in str(path)
            done &= bool(
                compileall.compile_file(
                    path,
                    quiet=1,
                    legacy=not ours,
                    # The library needs no docstrings.
                    optimize=0 if PACKAGES in str(path) else 2,
                    stripdir=str(root),
                    prependdir="/",
                    invalidation_mode=PycInvalidationMode.UNCHECKED_HASH,
                )
            )
            if not ours:
                path.unlink()
    return done


if __name__ == "__main__":
    sys.exit(not main(Path(sys.argv[1])))
