"""Start the agent with its modules out of one file: ``python3 -I -S start-agent.pyc --stage layer0|running``.

Python looks for each of a hundred modules in several folders, which costs a node a fifth of a second.
The build of layer0 lays the bytecode of all that a boot loads into one file beside this program; what
is not in it is found as usual. For the same reason ``-S``: of ``site`` the agent needs one path.

The file: four bytes (little-endian) with the length of an index, the index, and after it the modules'
code, both as ``marshal`` writes them; the index names for each module where its code begins, its
length, whether it is a package, and its path.
"""

from __future__ import annotations

import marshal
import os
import sys
from importlib.machinery import ModuleSpec

TYPE_CHECKING = False  # `typing` and the like are in the bundle
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.abc import Loader
    from types import ModuleType
else:
    Loader = object

_PACKAGES = "/usr/lib/python3/dist-packages"
_LENGTH_BYTES = 4


class Bundle(Loader):
    """Finds and loads the modules of one file (an `importlib.abc.MetaPathFinder` and ``Loader``)."""

    def __init__(self, path: str) -> None:
        """Open the file; raises `OSError`."""
        self._file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        length = int.from_bytes(os.pread(self._file, _LENGTH_BYTES, 0), "little")
        self._index: dict[str, tuple[int, int, bool, str]] = marshal.loads(
            os.pread(self._file, length, _LENGTH_BYTES)
        )
        self._begin = _LENGTH_BYTES + length

    def find_spec(
        self, name: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """What the import system asks of a finder."""
        if name not in self._index:
            return None
        _, _, is_package, origin = self._index[name]
        spec = ModuleSpec(name, self, origin=origin, is_package=is_package)
        spec.has_location = True
        if spec.submodule_search_locations is not None:
            spec.submodule_search_locations.append(origin.rpartition("/")[0])
        return spec

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As usual."""

    def exec_module(self, module: ModuleType) -> None:
        """Run the module's code in it."""
        begin, length, _, _ = self._index[module.__name__]
        code = marshal.loads(os.pread(self._file, length, self._begin + begin))
        exec(code, module.__dict__)


def main() -> int:
    """Run the agent; its exit code."""
    bundle = Bundle(os.path.dirname(sys.argv[0]) + "/agent.bundle")  # noqa: PTH120
    sys.meta_path.insert(-1, bundle)  # before the one that searches folders
    sys.path.append(_PACKAGES)
    from kedge.agent.__main__ import main as run

    return run()


if __name__ == "__main__":
    sys.exit(main())
