"""Faults of a machine's network link, made with what the kernel offers: nftables and tbf.

``drop`` loses a share of the frames in both directions (nftables' netdev hooks on the tap; the
kernel's netem is often missing). ``slow`` shapes what goes to the machine with a token bucket and
polices what comes from it. Both act on the tap, so the machine and the head notice only the loss.
"""

from __future__ import annotations

import asyncio
import re

from kedge.lib.errors import KedgeError

RATE = re.compile(r"([0-9]{1,6}(?:\.[0-9]{1,3})?)(kbit|mbit|gbit)")
PERCENT = re.compile(r"[0-9]{1,3}(\.[0-9]{1,2})?")
UNITS = {"kbit": 1_000, "mbit": 1_000_000, "gbit": 1_000_000_000}
TIMEOUT_S = 10.0


def percent(text: str) -> float:
    """A share of frames, from above 0 to 100 percent."""
    number = text.removesuffix("%")
    value = float(number) if PERCENT.fullmatch(number) else 0.0
    if not 0 < value <= 100:
        raise KedgeError(
            "lab.bad_percent",
            f"{text!r} is not a share of frames to drop",
            next_step="Give a number above 0 and up to 100: kedge lab fault n1 drop 20",
        )
    return value


def rate_bits(text: str) -> int:
    """A rate such as 500kbit or 1.5mbit in bits per second."""
    match = RATE.fullmatch(text.lower())
    bits = int(float(match[1]) * UNITS[match[2]]) if match else 0
    if bits < 8_000:
        raise KedgeError(
            "lab.bad_rate",
            f"{text!r} is not a rate",
            next_step="Give at least 8kbit, in kbit, mbit or gbit: kedge lab fault n1 slow 2mbit",
        )
    return bits


async def apply(tap: str, drop_percent: float | None, rate: int | None) -> None:
    """Make the faults of the tap exactly these; None means there is none of that kind."""
    await _run("nft", "-f", "-", feed=_rules(tap, drop_percent, rate))
    if rate is None:
        await _run("tc", "qdisc", "del", "dev", tap, "root", may_fail=True)
    else:
        shape = ("tbf", "rate", f"{rate}bit", "burst", str(_burst(rate)), "latency", "200ms")
        await _run("tc", "qdisc", "replace", "dev", tap, "root", *shape)


def _burst(rate: int) -> int:
    """Bytes that may pass at once: 50 ms of the rate, at least a few frames."""
    return max(8_000, rate // 8 // 20)


def _rules(tap: str, drop_percent: float | None, rate: int | None) -> str:
    table = f"netdev fault_{tap.replace('-', '_')}"
    # Added first, so that deleting never fails; the whole text is one transaction.
    text = f"add table {table}\ndelete table {table}\n"
    if drop_percent is None and rate is None:
        return text
    lose = ""
    if drop_percent is not None:
        lose = f"numgen random mod 10000 < {round(drop_percent * 100)} drop;"
    police = ""
    if rate is not None:
        police = f"limit rate over {rate // 8} bytes/second burst {_burst(rate)} bytes drop;"
    return (
        text
        + f"""table {table} {{
 chain from_machine {{ type filter hook ingress device "{tap}" priority 0; {lose} {police} }}
 chain to_machine {{ type filter hook egress device "{tap}" priority 0; {lose} }}
}}
"""
    )


async def _run(*command: str, feed: str = "", may_fail: bool = False) -> None:
    try:
        child = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
        )
    except FileNotFoundError as error:
        package = {"nft": "nftables", "tc": "iproute2"}[command[0]]
        raise KedgeError(
            "lab.missing_program",
            f"{command[0]} is not installed",
            next_step=f"Install it: apt-get install {package}",
        ) from error
    _, said = await asyncio.wait_for(child.communicate(feed.encode()), TIMEOUT_S)
    if child.returncode != 0 and not may_fail:
        raise KedgeError(
            "lab.fault_failed",
            f"{command[0]} refused the fault",
            why=said.decode(errors="replace").strip().splitlines()[0] if said else "",
        )
