"""Whether this process may do what Kedge does, and whether the clock is right."""

from __future__ import annotations

import ctypes
import datetime
import os
from collections.abc import Iterator
from pathlib import Path

from kedge.cli.checks.finding import Finding, bad, good, note

NEEDED = {
    10: ("CAP_NET_BIND_SERVICE", "DHCP (67/udp) and TFTP (69/udp) have privileged ports"),
    13: ("CAP_NET_RAW", "Kea answers machines that have no address yet"),
}
TIME_ERROR = 5
ESTIMATED_ERROR_MOST_S = 1.0


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2), of which only the head is read."""

    _fields_ = (
        ("modes", ctypes.c_uint),
        ("offset", ctypes.c_long),
        ("freq", ctypes.c_long),
        ("maxerror", ctypes.c_long),
        ("esterror", ctypes.c_long),
        ("rest", ctypes.c_byte * 400),
    )


def check_permissions() -> Iterator[Finding]:
    """One finding a capability that Kedge needs."""
    effective = 0
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith("CapEff:"):
            effective = int(line.split()[1], 16)
    missing = [entry for number, entry in NEEDED.items() if not effective >> number & 1]
    for name, why in missing:
        yield bad(
            "permission", f"{name} is missing for this user: {why}",
            "Run Kedge as a service (docs/howto/run-as-a-service.md) or as root: sudo kedge doctor",
        )  # fmt: skip
    if not missing:
        names = ", ".join(name for name, _ in NEEDED.values())
        yield good("permission", f"user id {os.geteuid()} has {names}")


def check_clock() -> Finding:
    """Whether the kernel's clock is kept by NTP (adjtimex(2)); certificates and tokens need it."""
    if datetime.datetime.now(datetime.UTC).year < 2025:
        return bad("clock", "the clock is years behind", "Set it: timedatectl set-time ...")
    timex = _Timex()
    try:
        state = ctypes.CDLL(None, use_errno=True).adjtimex(ctypes.byref(timex))
    except (OSError, AttributeError):
        return note("clock", "cannot be asked whether it is kept by NTP")
    if state < 0:
        return note("clock", "cannot be asked whether it is kept by NTP")
    if state == TIME_ERROR:
        return note(
            "clock",
            "is not kept by NTP",
            "apt-get install chrony (inside a container: on its host)",
        )
    return good("clock", f"kept by NTP, at most {timex.maxerror / 1e6:.2f} s off")
