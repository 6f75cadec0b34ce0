"""Whatever is configured, an iPXE script has the commands that Kedge wrote and no others."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kedge.lib.errors import KedgeError
from kedge.modules.boot.script import Load, boot_script, check_arguments, wait_script

DIGEST = "sha256:" + "0" * 64
COMMANDS = ["#!ipxe", "echo", ":load", "kernel", "initrd", "initrd", "boot", ":again", "echo",
            "imgfree", "imgfree", "imgfree", "sleep", "goto"]  # fmt: skip
DANGEROUS = set("$;&|#`\\\"'{}<>\n\r\t\0")


@given(st.lists(st.text(max_size=40), max_size=8), st.text(max_size=300))
def test_boot_scripts_hold_only_our_commands(arguments: list[str], node: str) -> None:
    try:
        checked = check_arguments(arguments, "n1")
    except KedgeError:
        checked = ()
    initrds = (("layer0", DIGEST), ("modules", DIGEST))
    script = boot_script(Load(node, "http://h:1", DIGEST, initrds, checked))
    lines = script.splitlines()
    assert [line.split(" ")[0] for line in lines] == COMMANDS
    kernel = lines[3].removesuffix(" || goto again")
    assert not DANGEROUS & set(kernel)
    assert kernel.split(" ")[6:] == list(checked)
    assert not DANGEROUS & set(lines[1])


@given(st.text(max_size=300), st.integers(), st.booleans())
def test_wait_scripts_hold_only_our_commands(reason: str, seconds: int, renew: bool) -> None:
    lines = wait_script(reason, "http://h/boot/m", seconds, renew=renew).splitlines()
    renewing = ["dhcp", "isset", "chain", ":same"]
    ours = ["#!ipxe", "echo", ":wait", "sleep", *(renewing if renew else []), "chain"]
    assert [line.split(" ")[0] for line in lines] == ours
    assert not DANGEROUS & set(lines[1])
