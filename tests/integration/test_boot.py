"""The boot servers on a private network: scripts once per permit, blobs to nodes, TFTP, no routers."""

from __future__ import annotations

import asyncio
import hashlib
import json
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path

import aiohttp
import pytest

from fakes import FakeIo, one_network_site
from kedge.core.node import Configuration
from kedge.lib.errors import KedgeError
from kedge.modules import boot
from kedge.modules.boot import http, router, tftp
from kedge.modules.boot.place import BootSettings
from kedge.site.model import Site
from private_network import can_make_networks, private_network
from tftp_client import WRITE, TftpError
from tftp_client import get as tftp_get

pytestmark = pytest.mark.skipif(not can_make_networks(), reason="needs root")

BASE = "http://10.77.0.1:8080"
MAC = "52:54:00:77:00:01"
OWN, OTHER, NOBODYS = "10.77.1.1", "10.77.1.2", "10.77.9.9"
REFERENCE = "10.77.0.1:5000/compute:1"
ADDRESSES = "".join(f"addr add {a}/16 dev c0\n" for a in (OWN, OTHER, NOBODYS))


def put_blob(state_dir: Path, content: bytes) -> str:
    hexadecimal = hashlib.sha256(content).hexdigest()
    path = state_dir / "blobs" / "sha256" / hexadecimal
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return f"sha256:{hexadecimal}"


def put_records(state_dir: Path, args: list[str] | None = None) -> dict[str, str]:
    """An image and a layer0, as `kedge image import` and `kedge layer0 build` leave them."""
    blobs = {
        name: put_blob(state_dir, name.encode() * 50_000)
        for name in ("kernel", "modules", "initramfs", "squashfs", "undionly.kpxe", "snponly.efi")
    }
    digest = "sha256:" + "a" * 64
    image = {
        "reference": REFERENCE,
        "digest": digest,
        "arch": "x86_64",
        "layers": [],
        "kernel": {"version": "6.12", "blob": blobs["kernel"], "size_bytes": 1},
        "modules": {"blob": blobs["modules"], "size_bytes": 1},
        "args": args if args is not None else ["console=ttyS0"],
    }
    layer0 = {
        "arch": "x86_64",
        "digest": "sha256:" + "b" * 64,
        "initramfs": {"blob": blobs["initramfs"], "size_bytes": 1},
        "squashfs": {"blob": blobs["squashfs"], "size_bytes": 1},
        "firmware": {name: blobs[name] for name in ("undionly.kpxe", "snponly.efi")},
        "created": "2026-11-21T00:00:00Z",
        "sha512": "c" * 128,
    }
    for folder, name, record in (("images", "a" * 64, image), ("layer0", "x86_64", layer0)):
        (state_dir / folder).mkdir(exist_ok=True)
        (state_dir / folder / f"{name}.json").write_text(json.dumps(record))
    (state_dir / "pins.json").write_text(json.dumps({f"{REFERENCE} x86_64": digest}))
    return blobs


def site_of(**values: object) -> Site:
    wanted = {"image.wanted": REFERENCE, **values}
    return one_network_site(
        {
            "n1": Configuration(
                "n1", wanted, addresses={"provision": OWN}, macs={"provision": MAC}
            ),
            "n2": Configuration(
                "n2",
                wanted,
                addresses={"provision": OTHER},
                macs={"provision": "52:54:00:77:00:02"},
            ),
        }
    )


@pytest.fixture
def network() -> Iterator[None]:
    with private_network(ADDRESSES):
        yield


@pytest.fixture
async def io(network: None, tmp_path: Path) -> AsyncIterator[FakeIo]:
    tmp_path.chmod(0o700)
    put_records(tmp_path)
    async with FakeIo(site_of(), tmp_path, modules=(boot.module,)) as io:
        yield io


@pytest.fixture
async def served(io: FakeIo) -> FakeIo:
    io.spawn("boot.http", partial(http.serve, io, BootSettings()))
    await io.until(lambda: io.events or io.failures)
    assert not io.failures
    io.events.clear()
    return io


async def get(
    path: str, source: str = OWN, headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    connector = aiohttp.TCPConnector(local_addr=(source, 0))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get(f"{BASE}{path}", headers=headers) as response,
    ):
        return response.status, await response.read()


async def script(source: str = OWN, mac: str = MAC) -> str:
    status, body = await get(f"/boot/{mac}", source)
    assert status == 200 and body.startswith(b"#!ipxe\n")
    return body.decode()


async def test_a_node_gets_its_script_once_for_each_permit(served: FakeIo) -> None:
    assert "kedge.token" not in await script()
    assert served.fake_nodes["n1"].seen("boot.stage") == "loader"
    served.grant_boot("n1")
    given = await script()
    arguments = dict(
        word.split("=", 1)
        for line in given.splitlines()
        for word in line.split()
        if "kedge." in word
    )
    assert re.fullmatch(r"[A-Za-z0-9_-]{43}", arguments.pop("kedge.token"))
    assert arguments == {
        "kedge.url": BASE,
        "kedge.node": "n1",
        "kedge.mac": MAC,
        "kedge.epoch": "1.1",
        "kedge.parent": "10.77.0.1:8471",
        "kedge.layer0": "sha256:" + hashlib.sha256(b"squashfs" * 50_000).hexdigest(),
        "kedge.layer0.sha512": "c" * 128,
    }
    assert "kedge.token" not in await script()
    assert [event.subject for event in served.events] == ["boot.script"]
    served.grant_boot("n1")
    assert "kedge.epoch=1.2" in await script()


async def test_another_address_gets_no_script_and_uses_no_permit(served: FakeIo) -> None:
    served.grant_boot("n1")
    for source in (OTHER, NOBODYS):
        assert "kedge.token" not in await script(source)
    assert served.fake_nodes["n1"].seen("boot.stage") is None
    assert {event.node for event in served.events} == {"n1"}
    assert "kedge.token" in await script(OWN)


async def test_a_stranger_is_listed_and_told(served: FakeIo) -> None:
    stranger = "52:54:00:99:00:01"
    answer = await script(NOBODYS, stranger)
    assert (
        stranger in answer
        and "in no file" in answer
        and f"chain --replace --autofree {BASE}/boot/{stranger}" in answer
    )
    assert served.strangers == {stranger: {"address": NOBODYS}}
    assert (await get("/blobs/sha256:" + "a" * 64, NOBODYS))[0] == 403


async def test_a_node_of_another_owner_is_sent_to_dhcp_and_is_no_stranger(
    served: FakeIo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(served, "is_peer", lambda address: address == NOBODYS)
    answer = await script(NOBODYS, "52:54:00:99:00:01")
    assert "another parent boots it" in answer and "\ndhcp ||" in answer
    assert not served.strangers and not served.events


async def test_floods_of_refusals_fill_no_log(served: FakeIo) -> None:
    for number in range(150):
        await get(f"/boot/52:54:00:98:00:{number:02x}", NOBODYS)
        await get("/blobs/sha256:" + "a" * 64, NOBODYS)
    assert len(served.strangers) < 60
    assert len(served.events) == 1


async def test_blobs_come_whole_in_parts_and_to_nodes_only(served: FakeIo) -> None:
    content = b"kernel" * 50_000
    path = "/blobs/sha256:" + hashlib.sha256(content).hexdigest()
    assert await get(path) == (200, content)
    assert await get(path, headers={"Range": "bytes=6-11"}) == (206, b"kernel")
    assert (await get(path, NOBODYS))[0] == 403


@pytest.mark.parametrize(
    "path",
    [
        "/blobs/sha256:" + "a" * 64,
        "/blobs/sha256:..%2f..%2fpins.json",
        "/blobs/..%2f..%2f..%2fetc%2fpasswd",
        "/blobs/sha256:" + "A" * 64,
        "/boot/..%2f..%2fpins.json",
        "/boot/52:54:00:77:00:0g",
        "/firmware/..%2fpins.json",
        "/firmware/pins.json",
        "/pins.json",
    ],
)
async def test_nothing_else_can_be_had(served: FakeIo, path: str) -> None:
    assert (await get(path))[0] == 404


async def test_firmware_is_public(served: FakeIo) -> None:
    assert await get("/firmware/snponly.efi", NOBODYS) == (200, b"snponly.efi" * 50_000)


async def test_who_reads_no_further_keeps_no_connection(
    io: FakeIo, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "FIRMWARE_S", 0.3)
    layer0 = json.loads((io.state_dir / "layer0" / "x86_64.json").read_text())
    layer0["firmware"] = {"large.efi": put_blob(io.state_dir, b"x" * 40_000_000)}
    (io.state_dir / "layer0" / "x86_64.json").write_text(json.dumps(layer0))
    io.spawn("boot.http", partial(http.serve, io, BootSettings()))
    await io.until(lambda: io.events or io.failures)
    host, _, port = BASE.removeprefix("http://").partition(":")
    reader, writer = await asyncio.open_connection(host, int(port), limit=1 << 16)
    writer.write(b"GET /firmware/large.efi HTTP/1.1\r\nHost: head\r\n\r\n")
    assert await reader.readexactly(12) == b"HTTP/1.1 200"
    await asyncio.sleep(1.0)
    received = 0
    with pytest.raises(ConnectionError):
        while piece := await reader.read(1 << 20):
            received += len(piece)
        raise ConnectionResetError  # an orderly end, but early, is as good
    assert received < 40_000_000
    writer.close()


async def test_what_is_missing_is_said_and_spares_the_permit(served: FakeIo) -> None:
    served.grant_boot("n1")
    (served.state_dir / "pins.json").unlink()
    assert "is not imported for x86_64" in await script()
    assert "kedge image import" in served.events[0].cause
    put_records(served.state_dir, args=["quiet", "foo=${net0/ip}"])
    assert "cannot be passed" in await script()
    put_records(served.state_dir)
    assert "kedge.token" in await script()


async def test_an_applied_site_counts_at_once(served: FakeIo) -> None:
    served.configure(site_of(**{"boot.args": ["isolcpus=2-7"]}))
    served.grant_boot("n1")
    assert " isolcpus=2-7 " in await script()


async def test_a_taken_port_is_said(io: FakeIo) -> None:
    with socket.create_server(("10.77.0.1", 8080)), pytest.raises(KedgeError) as caught:
        await http.serve(io, BootSettings())
    assert caught.value.code == "boot.port_taken" and "8080" in caught.value.next_step


async def test_firmware_comes_by_tftp_and_nothing_goes_in(io: FakeIo) -> None:
    io.spawn("boot.tftp", partial(tftp.serve, io, BootSettings()))
    async with asyncio.timeout(10):
        while True:
            try:
                received = await tftp_get("undionly.kpxe")
                break
            except (TimeoutError, ConnectionRefusedError):
                await asyncio.sleep(0.1)
    assert received == b"undionly.kpxe" * 50_000
    for name in ("../pins.json", "/etc/passwd", "nothing"):
        with pytest.raises(TftpError):
            await tftp_get(name)
    with pytest.raises(TftpError):
        await tftp_get("undionly.kpxe", opcode=WRITE)
    assert not io.failures


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


async def test_a_new_layer0_is_offered(io: FakeIo) -> None:
    folder = io.state_dir / "run" / "tftp"
    record = io.state_dir / "layer0" / "x86_64.json"
    io.spawn("boot.tftp", partial(tftp.serve, io, BootSettings()))
    await io.until(folder.exists)
    await io.until(lambda: names(folder) == ["snponly.efi", "undionly.kpxe"])
    layer0 = json.loads(record.read_text())
    layer0["firmware"] = {"undionly.kpxe": put_blob(io.state_dir, b"newer")}
    record.write_text(json.dumps(layer0))
    await io.until(lambda: names(folder) == ["undionly.kpxe"])
    assert (folder / "undionly.kpxe").read_bytes() == b"newer"


async def test_a_solicitation_is_answered_at_once(io: FakeIo) -> None:
    io.spawn("boot.router", partial(router.serve, io, BootSettings()))
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as wire:
        wire.setblocking(False)
        index = socket.if_nametoindex("c0")
        wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_IF, index)
        wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
        wire.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_LOOP, 0)
        solicitation = struct.pack("!BBHI", 133, 0, 0, 0)
        answer = b""
        async with asyncio.timeout(10):
            while answer[:1] != bytes([134]):
                await asyncio.sleep(0.05)
                try:
                    await loop.sock_sendto(wire, solicitation, ("ff02::2", 0, 0, index))
                    async with asyncio.timeout(0.3):
                        answer = await loop.sock_recv(wire, 1500)
                except (TimeoutError, OSError):
                    continue  # addresses of a new link are being checked for two seconds
    lifetime = struct.unpack("!H", answer[6:8])[0]
    assert lifetime == 0 and not io.failures


async def test_all_servers_start_from_the_declaration(io: FakeIo) -> None:
    site = io.site
    io.configure(Site(site.cluster))
    serving = asyncio.create_task(boot.serve(io))
    await asyncio.sleep(0.1)
    assert not serving.done()
    io.configure(site)
    await serving
    await io.until(lambda: len(io.events) == 2)
    assert {event.subject for event in io.events} == {"boot.http", "boot.dhcp"}


@pytest.mark.slow
async def test_scripts_a_second(served: FakeIo) -> None:
    connector = aiohttp.TCPConnector(local_addr=(OWN, 0), limit=32)
    count = 1500
    async with aiohttp.ClientSession(connector=connector) as session:

        async def one() -> None:
            async with session.get(f"{BASE}/boot/{MAC}") as response:
                await response.read()

        started, cpu = time.monotonic(), time.process_time()
        await asyncio.gather(*(one() for _ in range(count)))
        wall_s, cpu_s = time.monotonic() - started, time.process_time() - cpu
    print(f"{count / wall_s:.0f} scripts a second, {1e3 * cpu_s / count:.2f} ms of CPU each "
          "(server and client together)")  # fmt: skip
    assert count / wall_s > 50
