"""The doctor's checks on things that are really wrong."""

from __future__ import annotations

import json
import socket
import struct
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kedge.cli.checks import files, machine, network, programs, rivals
from kedge.cli.checks.finding import BAD, GOOD, NOTE
from kedge.cli.main import run
from kedge.master.process.settings import Settings


def settings_of(state: Path, **boot: object) -> Settings:
    return Settings(state, state / "api.sock", sections={"boot": boot})  # type: ignore[dict-item]


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "PATH", "/nonexistent")
    found = [f for f in programs.check_programs(settings_of(Path("/x"))) if f.verdict == BAD]
    kea = next(finding for finding in found if "kea-dhcp4 is missing" in finding.what)
    assert kea.mend == "apt-get install kea-dhcp4-server"
    missing = {finding.what.split()[0] for finding in found}
    assert {"in.tftpd", "zstd", "setpriv", "mksquashfs", "sqfstar", "skopeo"} <= missing
    external = [f.what for f in programs.check_programs(settings_of(Path("/x"), dhcp="external"))]
    assert not any("kea" in what for what in external)


@pytest.mark.parametrize("kind", [network.UDP, network.TCP])
def test_a_taken_port_is_found(kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == network.TCP:
            taken.listen()
        port = taken.getsockname()[1]
        found = network.check_port(port, kind, "test")
        assert found.verdict == BAD and f"sport = :{port}" in found.mend
    assert network.check_port(port, kind, "test").verdict == GOOD


def test_secrets_that_others_can_read_are_found(tmp_path: Path) -> None:
    (tmp_path / "api.token").write_text("x")
    (tmp_path / "api.token").chmod(0o644)
    (tmp_path / "secrets.yaml").write_text("x")
    (tmp_path / "secrets.yaml").chmod(0o600)
    verdicts = {f.what.split("/")[-1]: f for f in files.check_modes(settings_of(tmp_path))}
    assert verdicts["api.token (0644)"].mend == f"chmod 600 {tmp_path}/api.token"
    assert verdicts["secrets.yaml"].verdict == GOOD
    (found,) = files.check_modes(settings_of(tmp_path / "none"))
    assert found.verdict == BAD and found.mend == "kedge init"


def test_little_space_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert files.check_space(tmp_path / "not" / "yet").verdict in (GOOD, NOTE, BAD)
    monkeypatch.setattr(files, "LEAST_BYTES", 2**60)
    assert files.check_space(tmp_path).verdict == BAD


def test_clock_and_permissions_are_looked_at() -> None:
    assert machine.check_clock().verdict in (GOOD, NOTE)
    assert list(machine.check_permissions())


def test_the_command_exits_with_1_when_something_is_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("KEDGE_CONFIG", str(tmp_path / "kedge.yaml"))
    (tmp_path / "kedge.yaml").write_text(f"state_dir: {tmp_path}/none\n")
    assert run(["doctor", "-o", "json"]) == 1
    found = json.loads(capsys.readouterr().out)
    assert {"check", "verdict", "what", "mend"} == set(found[0])
    assert any(f["mend"] == "kedge init" for f in found)
    (tmp_path / "kedge.yaml").write_text("nonsense: 1\n")
    assert run(["doctor"]) == 1
    assert "nonsense" in capsys.readouterr().out


def offer(transaction: int, server: str, yours: str) -> bytes:
    """An OFFER as a server sends it."""
    message = bytearray(rivals.discover_message(b"\x52\x54\0\0\0\x01", transaction))
    message[0] = 2
    message[16:20] = socket.inet_aton(yours)
    options = bytes((53, 1, 2, 54, 4)) + socket.inet_aton(server) + b"\xff"
    packet = bytearray(rivals.in_udp(bytes(message[:240]) + options))
    packet[20:24] = struct.pack("!HH", 67, 68)
    return bytes(packet)


def test_an_offer_is_read() -> None:
    found = rivals.read_offer(offer(7, "10.0.0.9", "10.0.0.50"), 7)
    assert found == rivals.Offer("10.0.0.9", "10.0.0.50")
    assert rivals.read_offer(offer(7, "10.0.0.9", "10.0.0.50"), 8) is None
    assert rivals.read_offer(rivals.in_udp(rivals.discover_message(b"\0" * 6, 7)), 7) is None


@given(st.binary(max_size=400), st.integers(0, 400))
def test_no_packet_breaks_the_reader(noise: bytes, cut: int) -> None:
    rivals.read_offer(noise, 7)
    rivals.read_offer(offer(7, "10.0.0.9", "10.0.0.50")[:cut] + noise, 7)


def test_the_checksum_of_the_discover_is_right() -> None:
    head = rivals.in_udp(b"x")[:20]
    total = sum(struct.unpack("!10H", head))
    assert (total & 0xFFFF) + (total >> 16) == 0xFFFF


def test_a_missing_interface_is_said() -> None:
    found = rivals.check_rivals("nosuch0")
    assert found.verdict in (BAD, NOTE) and found.mend
