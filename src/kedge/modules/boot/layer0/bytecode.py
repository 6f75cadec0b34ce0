"""Compile layer0's Python files ahead, so that a node's agent starts without compiling, and bundle it.

Bytecode is the same on every architecture but belongs to one version of Python, so it is made by the
very Python that is packed, run out of an extracted tree of this host's architecture by its own
loader: no chroot, no privilege, no emulation.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from kedge.lib.errors import KedgeError

_INSIDE = Path(__file__).parent / "inside"
_TIMEOUT_S = 600


def compile_tree(tree: Path, native: Path, native_triplet: str) -> None:
    """Write the bytecode below ``tree`` with the Python found in the tree ``native`` (which may be the
    same one), and the agent's bundle. Raises `KedgeError`."""
    libraries = native / "usr" / "lib" / native_triplet
    loaders = sorted(libraries.glob("ld-linux*"))
    pythons = sorted(native.glob("usr/bin/python3.[0-9]*"))
    if not loaders or not pythons:
        raise _failed("the extracted packages hold no Python")
    python = [str(loaders[0]), "--library-path", str(libraries), str(pythons[-1])]
    # Without columns in its traces bytecode is a fifth smaller, and so much faster to load.
    python += ["-B", "-X", "no_debug_ranges"]
    for script in (
        [str(_INSIDE / "compile_all.py"), str(tree)],
        ["-S", str(_INSIDE / "bundle_agent.py"), str(tree), str(native)],
    ):
        run = subprocess.run(
            [*python, *script],
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
