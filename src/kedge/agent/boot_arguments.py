"""What the boot script told this node on the kernel's command line.

The token in it is worth one join, seconds after the kernel starts; the key that replaces it lies below
``/run/kedge/agent``, for root alone. Before the hand-over the initramfs covers ``/proc/cmdline`` with a
copy without the token. It can still be found, spent, in the kernel's log and in a fresh procfs.
"""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from kedge.lib.errors import KedgeError

DEFAULT_PORT = 8471
TOKEN_BYTES = 32


class BootArguments(NamedTuple):
    """Who this node is, whom it reports to, and the one-use token it joins with."""

    url: str
    node: str
    mac: str
    term: int
    counter: int
    parents: tuple[tuple[str, int], ...]
    token: bytes  # spent by the first join; empty once it has been hidden

    def __repr__(self) -> str:  # never the token
        return f"BootArguments({self.node!r}, {self.term}.{self.counter})"


def parse_command_line(text: str) -> BootArguments:
    """Read the ``kedge.`` arguments out of ``/proc/cmdline``; raises `KedgeError`."""
    values: dict[str, str] = {}
    for word in text.split():
        name, equals, value = word.partition("=")
        if equals and name.startswith("kedge."):
            values[name.removeprefix("kedge.")] = value
    missing = [n for n in ("url", "node", "mac", "epoch", "parent", "token") if not values.get(n)]
    if missing:
        raise _unfit("it lacks " + ", ".join(f"kedge.{name}" for name in missing))
    term, dot, counter = values["epoch"].partition(".")
    if not (dot and term.isdecimal() and counter.isdecimal()):
        raise _unfit("kedge.epoch is not <term>.<counter>")
    return BootArguments(
        url=values["url"].rstrip("/"),
        node=values["node"],
        mac=values["mac"].lower(),
        term=int(term),
        counter=int(counter),
        parents=tuple(parent_of(text) for text in values["parent"].split(",")),
        token=_token(values["token"]),
    )


def parent_of(text: str) -> tuple[str, int]:
    """``10.77.0.1:8471`` as an address; raises `KedgeError`."""
    host, colon, port = text.rpartition(":")
    if not colon or "]" in port:
        return text.strip("[]"), DEFAULT_PORT
    if not port.isdecimal():
        raise _unfit("kedge.parent is not <address>:<port>")
    return host.strip("[]"), int(port)


def _token(text: str) -> bytes:
    if text == "used":
        return b""
    try:
        token = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except (binascii.Error, ValueError):
        token = b""
    if len(token) != TOKEN_BYTES:
        raise _unfit("kedge.token is not 32 bytes in base64url") from None
    return token


def _unfit(why: str) -> KedgeError:
    return KedgeError(
        "agent.command_line",
        "this machine was not started by Kedge's boot script",
        where="/proc/cmdline",
        why=why,
        next_step="Boot it through Kedge: kedge power cycle <node>",
    )
