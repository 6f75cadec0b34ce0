"""Compile layer0's Python files ahead, so that a node's agent starts without compiling.

Bytecode is the same on every architecture but belongs to one version of Python, so it is made by the
very Python that is packed, run out of an extracted tree of this host's architecture by its own
loader: no chroot, no privilege, no emulation.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from kedge.lib.errors import KedgeError

_PROGRAM = """
import compileall, sys
root = sys.argv[1]
ok = compileall.compile_dir(root + "/usr/lib", maxlevels=20, quiet=2, stripdir=root,
    invalidation_mode=__import__("py_compile").PycInvalidationMode.UNCHECKED_HASH)
sys.exit(0)
"""
_TIMEOUT_S = 600


def compile_tree(tree: Path, native: Path, native_triplet: str) -> None:
    """Write ``__pycache__`` below ``tree`` with the Python found in the tree ``native``."""
    libraries = native / "usr" / "lib" / native_triplet
    loaders = sorted(libraries.glob("ld-linux*"))
    pythons = sorted(native.glob("usr/bin/python3.[0-9]*"))
    if not loaders or not pythons:
        raise _failed("the extracted packages hold no Python")
    command = [str(loaders[0]), "--library-path", str(libraries), str(pythons[-1])]
    run = subprocess.run(
        [*command, "-B", "-c", _PROGRAM, str(tree)],
        env={"PYTHONHOME": str(native / "usr"), "PYTHONHASHSEED": "0", "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        timeout=_TIMEOUT_S,
        check=False,
    )
    if run.returncode != 0:
        raise _failed(run.stderr.strip()[-400:])


def _failed(why: str) -> KedgeError:
    return KedgeError(
        "layer0.bytecode",
        "layer0's Python files could not be compiled",
        why=why,
        next_step="Build again; report this if it stays",
    )
