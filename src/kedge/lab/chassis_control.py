"""The program that ipmi_sim runs to act on the chassis: passes its words on to the lab's daemon.

Started for every IPMI request, so it imports nothing but the standard library and runs with
``python -I -S``. Usage: chassis_control.py SOCKET MACHINE get|set NAME [VALUE...]
"""

import json
import socket
import sys

TIMEOUT_S = 20.0


def main(arguments: list[str]) -> int:
    """Ask the daemon, print what ipmi_sim wants to read (``power:1``), return its exit code."""
    path, machine, *words = arguments
    request = {"op": "chassis", "machine": machine, "words": words}
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(TIMEOUT_S)
        connection.connect(path)
        connection.sendall(json.dumps(request).encode() + b"\n")
        reply = json.loads(connection.makefile("rb").readline(65536))
    if "error" in reply:
        sys.stderr.write(reply["error"].get("what", "refused") + "\n")
        return 1
    sys.stdout.write(str(reply["done"]))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except (OSError, ValueError) as problem:
        sys.stderr.write(f"{problem}\n")
        sys.exit(1)
