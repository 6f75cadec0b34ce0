"""The iPXE scripts: the one that boots a node, and the one that says why not and asks again.

Nothing that anybody configured can become a command: every value is checked against the few
characters that iPXE passes through as they are (it splits at blanks, expands ``${...}``, and takes
``#``, ``;``, ``&&`` and ``||`` for its own).

The kernel gets its two initramfs archives one after the other. BIOS iPXE hands over all of them
by itself; a UEFI kernel opens the ones that its ``initrd=`` arguments name, in that order (where iPXE
and the kernel are new enough to pass them by device path, the same archives come in the same order).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from kedge.lib.errors import KedgeError

ARGUMENT = re.compile(r"[A-Za-z0-9_.,:=/@%+~*!?^\[\]-]{1,1024}")
ARGUMENTS_BYTES = 1800
"""The kernel takes 2048, the bootloader's own words included."""
RESERVED = ("kedge.", "initrd=")
UNSAFE = re.compile(r"[^A-Za-z0-9 _.,:=/@%+()-]")
RENEWING = (
    "dhcp || goto wait",
    "isset ${filename} || goto same",
    "chain --replace --autofree ${filename} || goto wait",
    ":same",
)
WAIT_LEAST_S, WAIT_MOST_S = 2, 60
LINE_LENGTH = 160


@dataclass(frozen=True, slots=True)
class Load:
    """What one boot of one node loads; digests are ``sha256:<hex>``."""

    node: str
    url: str
    kernel: str
    initrds: tuple[tuple[str, str], ...]
    arguments: tuple[str, ...]


def check_arguments(arguments: Sequence[str], where: str) -> tuple[str, ...]:
    """Kernel arguments of an image or a site; raises `KedgeError` for one that cannot be passed."""
    for argument in arguments:
        if not ARGUMENT.fullmatch(argument) or argument.startswith(RESERVED):
            raise KedgeError(
                "boot.bad_argument",
                f"the kernel argument {argument!r} cannot be passed",
                where=where,
                why="it is Kedge's own, or has a blank, a quote or one of $ ; & | # \\ { }",
                next_step="Correct boot.args or the image's arguments",
            )
    return tuple(arguments)


def kedge_arguments(
    *, url: str, node: str, mac: str, epoch: str, token: str, parent: str, layer0: str, sha512: str
) -> tuple[str, ...]:
    """What layer0 needs to know of this boot; ``sha512``: its checksum, if it is known."""
    return (
        f"kedge.url={url}",
        f"kedge.node={node}",
        f"kedge.mac={mac}",
        f"kedge.epoch={epoch}",
        f"kedge.token={token}",
        f"kedge.parent={parent}",
        f"kedge.layer0={layer0}",
        *([f"kedge.layer0.sha512={sha512}"] if sha512 else []),
    )


def boot_script(load: Load) -> str:
    """The script that loads and starts a node's kernel; it repeats by itself what fails to load."""
    names = [f"initrd={name}" for name, _ in load.initrds]
    arguments = " ".join([*names, *load.arguments])
    if len(arguments) > ARGUMENTS_BYTES:
        raise KedgeError(
            "boot.bad_argument",
            f"the kernel arguments are longer than {ARGUMENTS_BYTES} characters",
            where=load.node,
            next_step="Shorten boot.args",
        )
    lines = [
        "#!ipxe",
        f"echo Kedge boots {_say(load.node)}",
        ":load",
        f"kernel --name kernel {load.url}/blobs/{load.kernel} {arguments} || goto again",
        *(
            f"initrd --name {name} {load.url}/blobs/{digest} || goto again"
            for name, digest in load.initrds
        ),
        "boot || goto again",
        ":again",
        "echo Kedge: loading failed, trying again",
        "imgfree kernel ||",
        *(f"imgfree {name} ||" for name, _ in load.initrds),
        "sleep 3",
        "goto load",
    ]
    return "\n".join(lines) + "\n"


def wait_script(reason: str, url: str, seconds: int, *, renew: bool = False) -> str:
    """The script that shows ``reason`` on the console, sleeps, and asks ``url`` again, for ever;
    with ``renew`` it asks for its address again, too, and then whom the answer names: the machine may have
    become a node's, or its node another boot server's."""
    seconds = min(max(seconds, WAIT_LEAST_S), WAIT_MOST_S)
    lines = [
        "#!ipxe",
        f"echo Kedge: {_say(reason)}",
        ":wait",
        f"sleep {seconds}",
        *(RENEWING if renew else ()),
        f"chain --replace --autofree {url} || goto wait",
    ]
    return "\n".join(lines) + "\n"


def _say(text: str) -> str:
    """Text for the console that is nothing but text."""
    return UNSAFE.sub("_", text)[:LINE_LENGTH]
