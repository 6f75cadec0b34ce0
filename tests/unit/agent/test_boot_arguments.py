from __future__ import annotations

import base64

import pytest

from kedge.agent.boot_arguments import parse_command_line
from kedge.lib.errors import KedgeError

TOKEN = bytes(range(32))
LINE = (
    "BOOT_IMAGE=x console=ttyS0 quiet kedge.url=http://10.77.0.1:8080/ kedge.node=n1"
    " kedge.mac=52:54:00:AA:00:01 kedge.epoch=3.14 kedge.parent=10.77.0.1:8471,10.77.0.2"
    " kedge.layer0=sha256:00 kedge.token=" + base64.urlsafe_b64encode(TOKEN).decode().rstrip("=")
)


def test_all_arguments_are_read() -> None:
    boot = parse_command_line(LINE + "\n")
    assert (boot.url, boot.node, boot.mac) == ("http://10.77.0.1:8080", "n1", "52:54:00:aa:00:01")
    assert (boot.term, boot.counter) == (3, 14)
    assert boot.parents == (("10.77.0.1", 8471), ("10.77.0.2", 8471))
    assert boot.token == TOKEN


def test_the_token_is_never_shown() -> None:
    assert "token" not in repr(parse_command_line(LINE))


def test_a_hidden_token_is_empty() -> None:
    assert parse_command_line(LINE.rpartition("=")[0] + "=used").token == b""


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ("kedge.node=n1", "", "kedge.node"),
        ("kedge.epoch=3.14", "kedge.epoch=3", "kedge.epoch"),
        ("kedge.epoch=3.14", "kedge.epoch=3.x", "kedge.epoch"),
        (":8471", ":port", "kedge.parent"),
        ("kedge.token=", "kedge.token=A", "kedge.token"),
    ],
)
def test_what_does_not_fit_is_named(old: str, new: str, why: str) -> None:
    with pytest.raises(KedgeError) as caught:
        parse_command_line(LINE.replace(old, new))
    assert caught.value.code == "agent.command_line"
    assert why in caught.value.why


def test_an_ipv6_parent() -> None:
    boot = parse_command_line(LINE.replace("10.77.0.1:8471", "[fd00::1]:8471"))
    assert boot.parents[0] == ("fd00::1", 8471)
