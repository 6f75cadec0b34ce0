"""Compile layer0's Python files ahead, so that a node's agent starts without compiling.

Only the bytecode is kept of the standard library and of third-party packages: half the size, and
faster to find. Kedge's own files keep their source, for readable traces.

Bytecode is the same on every architecture but belongs to one version of Python, so it is made by the
very Python that is packed, run out of an extracted tree of this host's architecture by its own
loader: no chroot, no privilege, no emulation.
"""

from __future__ import annotations

import subprocess
from pathlib import Path

from kedge.lib.errors import KedgeError

_PROGRAM = """
import compileall, pathlib, py_compile, sys
root = sys.argv[1]
mode = py_compile.PycInvalidationMode.UNCHECKED_HASH
packages = root + "/usr/lib/python3/dist-packages"
options = dict(quiet=1, stripdir=root, prependdir="/", invalidation_mode=mode)
done = compileall.compile_dir(packages + "/kedge", maxlevels=20, **options)
for folder in pathlib.Path(root, "usr/lib").glob("python3*"):
    for path in sorted(folder.rglob("*.py")):
        if "/dist-packages/kedge/" not in str(path):
            plain = 0 if "/dist-packages/" in str(path) else 2  # the library needs no docstrings
            done &= compileall.compile_file(path, legacy=True, optimize=plain, **options)
            path.unlink()
sys.exit(not done)
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
