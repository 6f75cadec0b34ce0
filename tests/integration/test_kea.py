"""Real Kea on a private network, asked by every kind of client."""

from __future__ import annotations

import asyncio
import json
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import pytest

from dhcp_client import (
    ARM64,
    ARM64_HTTP,
    BIOS,
    IPXE_BIOS,
    IPXE_UEFI,
    IPXE_UEFI_HTTP,
    UEFI,
    UEFI_BC,
    UEFI_HTTP,
    Client,
    Kind,
)
from fakes import FakeIo, one_network_site
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules.boot import dhcp, kea
from kedge.modules.boot.place import BootSettings
from kedge.site.model import Site
from private_network import can_make_networks, private_network

pytestmark = pytest.mark.skipif(
    not can_make_networks() or not Path("/usr/sbin/kea-dhcp4").exists(),
    reason="needs root and Debian's kea-dhcp4-server",
)
SCRIPT_URL = "http://10.77.0.1:8080/boot/${netX/mac}"


def site_of(count: int) -> Site:
    return one_network_site(
        {
            f"n{i}": Configuration(
                f"n{i}",
                addresses={"provision": f"10.77.{1 + i // 250}.{1 + i % 250}"},
                macs={"provision": mac_of(i)},
            )
            for i in range(count)
        },
        gateway="10.77.0.1",
    )


def mac_of(number: int) -> str:
    return f"52:54:00:77:{number // 256:02x}:{number % 256:02x}"


@pytest.fixture
def network() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture
async def io(network: None, tmp_path: Path) -> AsyncIterator[FakeIo]:
    tmp_path.chmod(0o700)
    async with FakeIo(site_of(4), tmp_path) as io:
        yield io


@pytest.fixture
async def served(io: FakeIo) -> FakeIo:
    await begin(io, BootSettings())
    return io


async def begin(io: FakeIo, settings: BootSettings) -> None:
    io.spawn("boot.dhcp", partial(dhcp.serve, io, settings))
    await io.until(lambda: io.events or io.failures)
    assert not io.failures, io.failures


@pytest.fixture
def client(network: None) -> Iterator[Client]:
    client = Client()
    yield client
    client.close()


@pytest.mark.parametrize(
    ("kind", "boot_file"),
    [
        (BIOS, "undionly.kpxe"),
        (UEFI, "snponly.efi"),
        (UEFI_BC, "snponly.efi"),
        (ARM64, "ipxe-arm64.efi"),
        (UEFI_HTTP, "http://10.77.0.1:8080/firmware/snponly.efi"),
        (ARM64_HTTP, "http://10.77.0.1:8080/firmware/ipxe-arm64.efi"),
        (IPXE_BIOS, SCRIPT_URL),
        (IPXE_UEFI, SCRIPT_URL),
        (IPXE_UEFI_HTTP, SCRIPT_URL),
    ],
    ids=lambda value: value.name if isinstance(value, Kind) else "",
)
async def test_every_firmware_gets_its_boot_file(
    served: FakeIo, client: Client, kind: Kind, boot_file: str
) -> None:
    answer = await client.boot(mac_of(2), kind)
    assert answer is not None
    assert (answer.address, answer.boot_file) == ("10.77.1.3", boot_file)
    assert answer.next_server == "10.77.0.1"
    assert answer.options[3] == bytes([10, 77, 0, 1])
    is_ipxe, is_http = bool(kind.user_class), kind.vendor.startswith(b"HTTP")
    assert answer.options.get(175) == (b"\xb0\x01\x01" if is_ipxe else None)
    assert answer.options.get(60) == (b"HTTPClient" if is_http and not is_ipxe else None)


async def test_a_stranger_gets_an_address_of_the_pool_and_disturbs_nobody(
    served: FakeIo, client: Client
) -> None:
    answer = await client.boot("52:54:00:99:00:01", IPXE_BIOS)
    assert answer is not None and answer.boot_file == SCRIPT_URL
    assert answer.address.startswith("10.77.255.2")
    for number in range(2, 20):  # more than the pool holds
        await client.ask(f"52:54:00:99:00:{number:02x}", BIOS, timeout_s=0.3)
    node = await client.boot(mac_of(0), BIOS)
    assert node is not None and node.address == "10.77.1.1"


async def test_without_a_pool_a_stranger_gets_nothing(io: FakeIo, client: Client) -> None:
    await begin(io, BootSettings(strangers="none"))
    assert await client.boot(mac_of(0), BIOS) is not None
    assert await client.ask("52:54:00:99:00:01", BIOS, timeout_s=1.5) is None


async def test_an_applied_site_reaches_kea_without_a_restart(
    served: FakeIo, client: Client
) -> None:
    new = mac_of(9)
    before = await client.boot(new, BIOS)
    assert before is not None and before.address.startswith("10.77.255.")
    served.configure(site_of(10))
    async with asyncio.timeout(10):
        while (answer := await client.boot(new, BIOS)) is None or answer.address != "10.77.1.10":
            await asyncio.sleep(0.2)
    assert not served.failures


async def test_a_site_that_dhcp_cannot_serve_leaves_the_former_one(
    io: FakeIo, client: Client
) -> None:
    await begin(io, BootSettings(strangers="10.77.1.20-10.77.1.29"))
    io.configure(site_of(30))
    await io.until(lambda: len(io.events) > 1)
    assert "holds 10.77.1.20" in io.events[1].cause
    answer = await client.boot(mac_of(3), BIOS)
    assert answer is not None and answer.address == "10.77.1.4"
    assert not io.failures


async def test_a_node_asks_under_other_client_ids_and_keeps_its_address(
    served: FakeIo, client: Client
) -> None:
    for identifier in (b"\0firmware", b"\xffimage", b"\1other"):
        answer = await client.ask(mac_of(1), BIOS, extra={61: identifier})
        assert answer is not None and answer.address == "10.77.1.2"


async def test_kea_runs_with_few_rights_and_ends_with_us(io: FakeIo) -> None:
    await begin(io, BootSettings())
    directory = kea.directory_of(io.state_dir)
    (pid,) = [int(file.read_text()) for file in directory.glob("*.pid")]
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{pid}/status").read_text().splitlines()
    )
    assert status["Uid"].split()[0] != "0"
    net_raw, net_bind_service = 1 << 13, 1 << 10
    assert int(status["CapBnd"], 16) == net_raw | net_bind_service
    await io.close()
    assert not Path(f"/proc/{pid}").exists()
    assert not directory.exists()


async def test_a_kea_that_dies_is_started_again(served: FakeIo, client: Client) -> None:
    directory = kea.directory_of(served.state_dir)
    (pid,) = [int(file.read_text()) for file in directory.glob("*.pid")]
    subprocess.run(["kill", "-9", str(pid)], check=True)
    await served.until(lambda: len(served.events) > 1)
    (error,) = served.failures["boot.dhcp"]
    assert isinstance(error, KedgeError) and error.code == "boot.server_ended"
    answer = await client.boot(mac_of(0), BIOS)
    assert answer is not None and answer.address == "10.77.1.1"


async def test_a_kea_of_the_site_is_only_configured(
    io: FakeIo, client: Client, tmp_path: Path
) -> None:
    socket = tmp_path / "k.sock"
    file = tmp_path / "kea.json"
    control = {"socket-type": "unix", "socket-name": str(socket)}
    leases = {"type": "memfile", "persist": False}
    own = {"Dhcp4": {"control-socket": control, "lease-database": leases}}
    file.write_text(json.dumps(own))
    process = await asyncio.create_subprocess_exec(
        "/usr/sbin/kea-dhcp4", "-c", str(file), env={"KEA_LOCKFILE_DIR": "none",
        "KEA_PIDFILE_DIR": str(tmp_path)}, stdout=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        settings = BootSettings(dhcp="external", dhcp_socket=str(socket))
        io.spawn("boot.dhcp", partial(dhcp.serve, io, settings))
        async with asyncio.timeout(10):
            while (answer := await client.boot(mac_of(3), UEFI)) is None:
                await asyncio.sleep(0.1)
        assert (answer.address, answer.boot_file) == ("10.77.1.4", "snponly.efi")
    finally:
        process.kill()
        await process.wait()


async def test_no_kea_at_the_socket_is_said(io: FakeIo, tmp_path: Path) -> None:
    settings = BootSettings(dhcp="external", dhcp_socket=str(tmp_path / "none.sock"))
    with pytest.raises(KedgeError) as caught:
        await dhcp.serve(io, settings)
    assert caught.value.code == "boot.dhcp_unreachable" and caught.value.next_step


@pytest.mark.slow
async def test_two_thousand_nodes_are_configured_in_a_second(served: FakeIo) -> None:
    site = site_of(2000)
    socket = kea.directory_of(served.state_dir) / "kea4.sock"
    started = time.monotonic()
    configuration = dhcp.configuration_of(site, BootSettings(), socket)
    rendered = time.monotonic()
    await kea.command(socket, "config-set", configuration)
    pushed = time.monotonic()
    print(f"2,000 reservations: rendered in {rendered - started:.3f} s, "
          f"config-set in {pushed - rendered:.3f} s")  # fmt: skip
    assert pushed - started < 5
