from __future__ import annotations

import base64
from typing import Any

import pytest

from kedge.lib.errors import KedgeError
from kedge.lib.host_files import HostFile, files_digest, parse_host_files

CONTENT = base64.b64encode(b"hello").decode()


def one(**fields: Any) -> list[dict[str, Any]]:
    return [{"path": "/etc/motd", "content": CONTENT} | fields]


def test_defaults_and_both_ways_to_write_a_mode() -> None:
    assert parse_host_files(one()) == (HostFile("/etc/motd", b"hello"),)
    assert parse_host_files(one(mode="0600")) == parse_host_files(one(mode=0o600))


@pytest.mark.parametrize(
    "fields",
    [
        {"path": "etc/motd"}, {"path": "/"}, {"path": "/etc/../x"}, {"path": "/etc//x"},
        {"path": "/etc/"}, {"path": "/etc/./x"}, {"path": "/proc/x"}, {"path": "/sys/x"},
        {"path": "/dev/x"}, {"path": "/a\0b"}, {"path": None}, {"content": "no base64!"},
        {"content": None}, {"mode": "0999"}, {"mode": 0o10000}, {"mode": True}, {"uid": -1},
        {"gid": 2**32 - 1}, {"uid": "root"},
    ],
)  # fmt: skip
def test_bad_fields_are_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(KedgeError) as caught:
        parse_host_files(one(**fields))
    assert caught.value.code == "files.refused"


def test_a_path_is_listed_once() -> None:
    with pytest.raises(KedgeError, match="refused"):
        parse_host_files(one() + one(mode="0600"))


def test_the_digest_sees_every_field_and_no_order() -> None:
    base = HostFile("/a", b"x")
    others = [
        HostFile("/b", b"x"), HostFile("/a", b"y"), HostFile("/a", b"x", 0o600),
        HostFile("/a", b"x", uid=1), HostFile("/a", b"x", gid=1),
    ]  # fmt: skip
    digests = {files_digest([file]) for file in [base, *others]}
    assert len(digests) == 6
    assert files_digest([base, others[0]]) == files_digest([others[0], base])
