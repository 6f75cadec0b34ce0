"""``python -m kedge.lab.inside NAMESPACE COMMAND...`` becomes the command, inside the namespace."""

from __future__ import annotations

import os
import sys

from kedge.lab import network


def become(namespace: str, command: list[str]) -> None:
    """Replace this process by ``command`` in the namespace; raises OSError when it cannot."""
    network.enter(namespace)
    os.execvp(command[0], command)


if __name__ == "__main__":
    try:
        become(sys.argv[1], sys.argv[2:])
    except OSError as error:
        sys.stderr.write(f"{sys.argv[2]}: {error.strerror}\n")
        sys.exit(127)
