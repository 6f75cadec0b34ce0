"""The iPXE scripts: what they say, and that nothing configured can become a command."""

from __future__ import annotations

import pytest

from kedge.lib.errors import KedgeError
from kedge.modules.boot.script import Load, boot_script, check_arguments, wait_script

DIGEST = "sha256:" + "a" * 64
LOAD = Load(
    node="n1",
    url="http://10.77.0.1:8080",
    kernel=DIGEST,
    initrds=(("layer0", DIGEST), ("modules", DIGEST)),
    arguments=("console=ttyS0", "kedge.node=n1"),
)


def test_the_kernel_is_told_its_archives_in_order() -> None:
    lines = boot_script(LOAD).splitlines()
    assert lines[0] == "#!ipxe"
    (kernel,) = [line for line in lines if line.startswith("kernel ")]
    assert " initrd=layer0 initrd=modules console=ttyS0 kedge.node=n1 || goto again" in kernel
    initrds = [line.split()[2] for line in lines if line.startswith("initrd ")]
    assert initrds == ["layer0", "modules"]


@pytest.mark.parametrize(
    "argument",
    [
        "a b", "a\nb", "${net0/ip}", "x;y", "x&&y", "x||y", "#x", "'x'", '"x"', "\\x", "", "a\tb",
        "kedge.token=x", "initrd=other", "x" * 1025, "ä", "a\x00b", "a\rb",
    ],
)  # fmt: skip
def test_an_argument_that_ipxe_would_read_otherwise_is_refused(argument: str) -> None:
    with pytest.raises(KedgeError) as caught:
        check_arguments([argument], "n1")
    assert caught.value.code == "boot.bad_argument"


def test_usual_arguments_pass() -> None:
    usual = (
        "console=ttyS0,115200n8",
        "isolcpus=2-7,10",
        "root=/dev/ram0",
        "x=[a]~b!^c",
        "a@b%c+d*e?",
    )
    assert check_arguments(usual, "n1") == usual


def test_more_arguments_than_a_kernel_takes_are_refused() -> None:
    long = Load(LOAD.node, LOAD.url, LOAD.kernel, LOAD.initrds, ("x" * 1000, "y" * 1000))
    with pytest.raises(KedgeError):
        boot_script(long)


def test_a_reason_is_text_and_nothing_else() -> None:
    script = wait_script("a\nreboot ${x} && shell; # | `", "http://h/boot/m", 5)
    lines = script.splitlines()
    assert len(lines) == 5
    assert lines[1] == "echo Kedge: a_reboot __x_ __ shell_ _ _ _"


@pytest.mark.parametrize(("asked", "slept"), [(0, 2), (5, 5), (10_000, 60)])
def test_the_pause_is_bounded(asked: int, slept: int) -> None:
    assert f"\nsleep {slept}\n" in wait_script("why", "http://h/boot/m", asked)


def test_who_asks_for_an_address_again_goes_to_whom_the_answer_names() -> None:
    lines = wait_script("why", "http://old/boot/m", 5, renew=True).splitlines()
    order = [line.split(" ||")[0] for line in lines[3:]]
    assert order == [
        "sleep 5",
        "dhcp",
        "isset ${filename}",
        "chain --replace --autofree ${filename}",
        ":same",
        "chain --replace --autofree http://old/boot/m",
    ]
