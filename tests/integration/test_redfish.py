"""Redfish over TLS: the lab's BMC, and services that misbehave in the ways that real ones do."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web

from fakes import FakeIo, one_network_site
from kedge.core.node import Configuration
from kedge.lab import certificates, redfish
from kedge.lab.bmc import Login
from kedge.lab.description import Bmc as DescribedBmc
from kedge.lab.description import Machine
from kedge.lib.errors import KedgeError
from kedge.modules import power
from private_network import can_make_networks, private_network
from redfish_chassis import Chassis

pytestmark = pytest.mark.skipif(not can_make_networks(), reason="needs root")

ADDRESS = "127.0.0.2"
PASSWORD = "right-password"


@dataclass
class World:
    """A BMC, what it switches, and a node configured to use it."""

    io: FakeIo
    bmc: redfish.RedfishBmc
    chassis: Chassis
    authority: Path

    def configure(self, **changed: Any) -> Any:
        self.io.configure(site_of(**{"tls": str(self.authority), **changed}))
        return self.io.fake_nodes["n1"]


def site_of(**changed: Any) -> Any:
    bmc = {"protocol": "redfish", "address": ADDRESS, "credentials": "bmc", **changed}
    return one_network_site({"n1": Configuration("n1", {"power.bmc": bmc})})


@pytest.fixture
def network() -> Iterator[None]:
    with private_network():
        yield


@pytest.fixture
def pem(tmp_path: Path) -> Path:
    certificates.prepare("test", tmp_path / "ca.pem", [ADDRESS], tmp_path / "tls")
    return certificates.server_file(tmp_path / "tls", ADDRESS)


@pytest.fixture
async def io(network: None, tmp_path: Path) -> AsyncIterator[FakeIo]:
    secrets = {
        "bmc": {"username": "admin", "password": PASSWORD},
        "bad": {"username": "admin", "password": "wrong-password"},
    }
    async with FakeIo(site_of(tls=str(tmp_path / "ca.pem")), tmp_path, secrets=secrets) as io:
        yield io


@pytest.fixture
async def world(io: FakeIo, pem: Path, tmp_path: Path) -> AsyncIterator[World]:
    machine = Machine(
        name="n1", mac="52:54:00:77:00:01", bmc=DescribedBmc(protocol="redfish", address=ADDRESS)
    )
    chassis = Chassis()
    bmc = redfish.RedfishBmc(machine, chassis, Login("admin", PASSWORD), pem)  # type: ignore[arg-type]
    await bmc.start()
    try:
        yield World(io, bmc, chassis, tmp_path / "ca.pem")
    finally:
        await bmc.stop()


async def failure(work: Awaitable[None]) -> KedgeError:
    with pytest.raises(KedgeError) as caught:
        await work
    assert caught.value.next_step
    assert "password" not in f"{caught.value}{caught.value.as_dict()}"
    return caught.value


@pytest.fixture(autouse=True)
def soon_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(power, "ASK_AGAIN_S", 0.05)


async def test_a_system_that_does_not_hear_its_button_is_asked_again(world: World) -> None:
    node = world.configure()
    world.chassis.on, world.chassis.deaf = True, 2
    await power.shut_down(node, world.io)
    assert world.chassis.did == ["button"] * 3 and not world.chassis.on
    world.chassis.on, world.chassis.deaf = True, 99
    await power.shut_down(node, world.io)  # not for ever: the step has a time-out
    assert world.chassis.did == ["button"] * 7


async def test_a_machine_is_read_and_switched_over_redfish(world: World) -> None:
    node = world.configure()
    await power.read(node, world.io)
    assert node.seen("power.state") == "off"
    await power.switch_on(node, world.io)
    await power.read(node, world.io)
    assert node.seen("power.state") == "on"
    await power.shut_down(node, world.io)
    await power.switch_on(node, world.io)
    await power.switch_off(node, world.io)
    await power.read(node, world.io)
    assert node.seen("power.state") == "off"
    assert world.chassis.did == ["boot pxe", "on", "button", "boot pxe", "on", "off"]


async def test_basic_authentication_and_the_named_system(world: World) -> None:
    node = world.configure(auth="basic", system="1", tls="insecure")
    await power.read(node, world.io)
    assert node.seen("power.state") == "off"


async def test_a_session_that_ran_out_is_opened_again(world: World) -> None:
    node = world.configure()
    await power.read(node, world.io)
    world.bmc._sessions.clear()
    world.chassis.on = True
    await power.read(node, world.io)
    assert node.seen("power.state") == "on"
    assert len(world.bmc._sessions.ids()) == 1


async def test_a_wrong_password_is_tried_once_and_named(world: World) -> None:
    tried: list[str] = []
    right = world.bmc._right
    world.bmc._right = lambda name, word: (tried.append("x"), right(name, word))[1]  # type: ignore[method-assign]
    error = await failure(power.read(world.configure(credentials="bad"), world.io))
    assert error.code == "power.refused" and "kedge secret set bad" in error.next_step
    assert len(tried) == 1, "more attempts would lock the account"


async def test_a_password_changed_at_the_bmc_is_noticed_and_healed(world: World) -> None:
    node = world.configure()
    await power.read(node, world.io)
    await world.bmc.set_wrong_password(True)
    assert (await failure(power.read(node, world.io))).code == "power.refused"
    await world.bmc.set_wrong_password(False)
    await power.read(node, world.io)


async def test_an_unknown_certificate_is_refused(world: World) -> None:
    assert (await failure(power.read(world.configure(tls="verify"), world.io))).code == "power.tls"
    error = await failure(power.read(world.configure(tls="/nonexistent.pem"), world.io))
    assert error.code == "power.tls" and "no file" in error.why


async def test_a_system_that_is_not_there_is_named_with_those_that_are(world: World) -> None:
    error = await failure(power.read(world.configure(system="node7"), world.io))
    assert error.code == "power.no_system" and "it has 1" in error.why


async def test_nobody_there_is_said_at_once(io: FakeIo, pem: Path) -> None:
    started = time.monotonic()
    assert (await failure(power.read(io.fake_nodes["n1"], io))).code == "power.no_answer"
    assert time.monotonic() - started < 2


Answer = Callable[[web.Request], web.Response]
ROOT = {
    "@odata.id": "/redfish/v1",
    "Id": "RootService",
    "RedfishVersion": "1.6.0",
    "Systems": {"@odata.id": "/redfish/v1/Systems"},
}
SYSTEMS = {"Members": [{"@odata.id": "/redfish/v1/Systems/1"}], "Name": "x"}
SYSTEM = {"@odata.id": "/redfish/v1/Systems/1", "Id": "1", "PowerState": "On", "Actions": {}}


@pytest.mark.parametrize(
    ("answers", "code"),
    [
        ({}, "power.unsupported"),
        ({"/redfish/v1/": "not json"}, "power.failed"),
        ({"/redfish/v1/": []}, "power.failed"),
        ({"/redfish/v1/": ROOT, "/redfish/v1/Systems": {"Members": "?"}}, "power.failed"),
        ({"/redfish/v1/": ROOT, "/redfish/v1/Systems": {"Members": [], "Name": "x"}}, "power.no_system"),
        ({"/redfish/v1/": ROOT, "/redfish/v1/Systems": 503}, "power.busy"),
        ({"/redfish/v1/": ROOT, "/redfish/v1/Systems": 429}, "power.busy"),
        ({"/redfish/v1/": ROOT, "/redfish/v1/Systems": 500}, "power.failed"),
        (
            {
                "/redfish/v1/": ROOT,
                "/redfish/v1/Systems": SYSTEMS,
                "/redfish/v1/Systems/1": {**SYSTEM, "PowerState": "Confused"},
            },
            "power.failed",
        ),
    ],
)  # fmt: skip
async def test_nonsense_is_an_error_and_asked_for_few_times(
    io: FakeIo, pem: Path, answers: dict[str, Any], code: str
) -> None:
    requests = 0

    async def answer(request: web.Request) -> web.Response:
        nonlocal requests
        requests += 1
        found = answers.get(request.path, 404)
        if isinstance(found, int):
            return web.json_response({}, status=found)
        return web.Response(text=found) if isinstance(found, str) else web.json_response(found)

    io.configure(site_of(tls="insecure", auth="basic"))
    async with serving(answer, pem):
        error = await failure(power.read(io.fake_nodes["n1"], io))
    assert error.code == code, error
    assert requests <= 5


async def test_a_bmc_without_graceful_shutdown_says_so(io: FakeIo, pem: Path) -> None:
    reset = {
        "target": "/redfish/v1/Systems/1/Actions/ComputerSystem.Reset",
        "ResetType@Redfish.AllowableValues": ["ForceOn", "ForceOff"],
    }
    system: dict[str, Any] = {**SYSTEM, "Actions": {"#ComputerSystem.Reset": reset}}
    answers = {
        "/redfish/v1/": ROOT,
        "/redfish/v1/Systems": SYSTEMS,
        "/redfish/v1/Systems/1": system,
    }
    sent: list[Any] = []

    async def answer(request: web.Request) -> web.Response:
        if request.method == "POST":
            sent.append(await request.json())
            return web.Response(status=204)
        if request.method == "PATCH":
            return web.json_response({}, status=405)
        return web.json_response(answers[request.path])

    io.configure(site_of(tls="insecure", auth="basic"))
    node = io.fake_nodes["n1"]
    async with serving(answer, pem):
        assert (await failure(power.shut_down(node, io))).code == "power.unsupported"
        system["PowerState"] = "Off"
        await power.switch_on(node, io)
        await power.switch_off(node, io)  # it is off: nothing is sent
        system["PowerState"] = "On"
        await power.switch_off(node, io)
    assert sent == [{"ResetType": "ForceOn"}, {"ResetType": "ForceOff"}]
    assert [event.subject for event in io.events] == ["power.switch_on"]


class serving:
    """An HTTPS server with one handler for all requests."""

    def __init__(self, answer: Callable[[web.Request], Awaitable[web.Response]], pem: Path) -> None:
        application = web.Application()
        application.router.add_route("*", "/{path:.*}", answer)
        self._runner = web.AppRunner(application, access_log=None)
        self._tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._tls.load_cert_chain(pem)

    async def __aenter__(self) -> None:
        await self._runner.setup()
        await web.TCPSite(self._runner, ADDRESS, 443, ssl_context=self._tls).start()

    async def __aexit__(self, *_: object) -> None:
        await self._runner.cleanup()


async def test_twenty_good_ones_beside_five_that_hang(io: FakeIo, tmp_path: Path) -> None:
    """Each at its own address; the hanging ones take the connection and say nothing."""
    good = [f"127.0.1.{i}" for i in range(1, 21)]
    bad = [f"127.0.2.{i}" for i in range(1, 6)]
    certificates.prepare("many", tmp_path / "many.pem", good, tmp_path / "many")
    bmcs = [
        redfish.RedfishBmc(
            Machine(name="m", mac="52:54:00:77:00:09", bmc=DescribedBmc(protocol="redfish", address=a)),
            Chassis(),  # type: ignore[arg-type]
            Login("admin", PASSWORD),
            certificates.server_file(tmp_path / "many", a),
        )
        for a in good
    ]  # fmt: skip
    holes = [await asyncio.start_server(lambda r, w: asyncio.sleep(60), a, 443) for a in bad]
    io.configure(
        one_network_site(
            {
                a: Configuration(
                    a,
                    {
                        "power.bmc": {
                            "protocol": "redfish",
                            "address": a,
                            "credentials": "bmc",
                            "tls": str(tmp_path / "many.pem"),
                        }
                    },
                )
                for a in good + bad
            }
        )
    )

    async def read_good() -> float:
        started = time.monotonic()
        await asyncio.gather(*(power.read(io.fake_nodes[a], io) for a in good))
        return time.monotonic() - started

    for bmc in bmcs:
        await bmc.start()
    try:
        first_s, alone_s = await read_good(), await read_good()
        hanging = [asyncio.ensure_future(power.read(io.fake_nodes[a], io)) for a in bad]
        await asyncio.sleep(0.2)
        beside_s = await read_good()
        print(f"20 good BMCs: first read {first_s:.2f} s, alone {alone_s:.2f} s, "
              f"beside 5 hanging ones {beside_s:.2f} s")  # fmt: skip
        assert not any(task.done() for task in hanging)
        assert beside_s < 2 * alone_s + 0.5
        for task in hanging:
            assert (await failure(task)).code == "power.no_answer"
    finally:
        for server in holes:
            server.close()
        for bmc in bmcs:
            await bmc.stop()
