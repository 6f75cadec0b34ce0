"""A Redfish BMC: a small service of our own for one machine, on its own address, over TLS.

It follows DMTF's DSP0266 as far as sushy and other clients need it: sessions and basic
authentication, one system, one chassis, one manager. Every power state is read live.
"""

from __future__ import annotations

import asyncio
import base64
import hmac
import ssl
from pathlib import Path
from typing import Any, cast

import msgspec
from aiohttp import web

from kedge.lab import redfish_documents as documents
from kedge.lab.bmc import Login
from kedge.lab.description import Machine
from kedge.lab.machine import Machine as Chassis
from kedge.lab.redfish_sessions import Sessions
from kedge.lib.errors import KedgeError

PORT = 443
MAX_BODY_BYTES = 64 << 10
HANG_S = 300.0
ROOT = "/redfish/v1"
OPEN_PATHS = ("/redfish", ROOT)
BOOT_TARGETS = {"None": "none", "Pxe": "pxe", "Hdd": "disk", "UefiHttp": "pxe"}


class Refusal(Exception):
    """A request that is answered with a status and a Redfish error message."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.message = message


class RedfishBmc:
    """The service of one machine."""

    def __init__(self, machine: Machine, chassis: Chassis, login: Login, pem: Path) -> None:
        assert machine.bmc is not None
        self._machine = machine
        self._chassis = chassis
        self._login = login
        self._pem = pem
        self._sessions = Sessions()
        self._runner: web.AppRunner | None = None
        self._hung = False
        self._healed = asyncio.Event()
        self._wrong = False

    async def start(self) -> None:
        """Serve HTTPS on the BMC's address."""
        assert self._machine.bmc is not None
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self._pem)
        app = web.Application(
            middlewares=[self._answer_or_hang, self._authenticate], client_max_size=MAX_BODY_BYTES
        )
        self._add_routes(app)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.5)
        await self._runner.setup()
        address = self._machine.bmc.address
        try:
            await web.TCPSite(self._runner, address, PORT, ssl_context=context).start()
        except OSError as error:
            raise KedgeError(
                "lab.bmc_failed",
                f"the Redfish service cannot serve {address}:{PORT}",
                where=self._machine.name,
                why=error.strerror or str(error),
            ) from error

    async def stop(self) -> None:
        """Close the port."""
        self._healed.set()
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def set_hang(self, hang: bool) -> None:
        """Take requests and answer none, or answer again."""
        self._hung = hang
        if hang:
            self._healed.clear()
        else:
            self._healed.set()

    async def set_wrong_password(self, wrong: bool) -> None:
        """Refuse the lab's credentials and every session, or take them again."""
        self._wrong = wrong
        self._sessions.clear()

    def state(self) -> str:
        """``up``, ``hung`` or ``down``."""
        if self._runner is None:
            return "down"
        return "hung" if self._hung else "up"

    def _add_routes(self, app: web.Application) -> None:
        router = app.router
        for path, document in documents.static(self._machine, self._chassis).items():
            router.add_get(path, self._serve(document))
            router.add_get(path + "/", self._serve(document))
        system = f"{ROOT}/Systems/{documents.SYSTEM}"
        router.add_get(system, self._system)
        router.add_patch(system, self._patch_system)
        router.add_post(f"{system}/Actions/ComputerSystem.Reset", self._reset)
        sessions = f"{ROOT}/SessionService/Sessions"
        router.add_get(sessions, self._list_sessions)
        router.add_post(sessions, self._log_in)
        router.add_get(sessions + "/{id}", self._show_session)
        router.add_delete(sessions + "/{id}", self._log_out)

    def _serve(self, document: dict[str, Any]) -> Any:
        body = msgspec.json.encode(document)

        async def serve(_: web.Request) -> web.Response:
            return web.Response(body=body, content_type="application/json")

        return serve

    @web.middleware
    async def _answer_or_hang(self, request: web.Request, handler: Any) -> web.StreamResponse:
        if self._hung:
            try:
                await asyncio.wait_for(self._healed.wait(), HANG_S)
            except TimeoutError:
                return _error(503, "The service did not answer in time")
        try:
            response: web.StreamResponse = await handler(request)
        except Refusal as refusal:
            response = _error(refusal.status, refusal.message)
        except web.HTTPException as error:
            response = _error(error.status, error.reason)
        except KedgeError as error:
            response = _error(500, str(error))
        response.headers["OData-Version"] = "4.0"
        return response

    @web.middleware
    async def _authenticate(self, request: web.Request, handler: Any) -> web.StreamResponse:
        path = request.path.rstrip("/")
        logging_in = request.method == "POST" and path == f"{ROOT}/SessionService/Sessions"
        if not (path in OPEN_PATHS or logging_in or self._known(request)):
            response = _error(401, "The request has no valid credentials")
            response.headers["WWW-Authenticate"] = 'Basic realm="kedge lab"'
            return response
        return await handler(request)

    def _known(self, request: web.Request) -> bool:
        token = request.headers.get("X-Auth-Token")
        if token is not None:
            return self._sessions.valid(token)
        scheme, _, encoded = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() != "basic":
            return False
        try:
            name, _, password = base64.b64decode(encoded, validate=True).partition(b":")
        except ValueError:
            return False
        return self._right(name, password)

    def _right(self, name: bytes, password: bytes) -> bool:
        right_name = hmac.compare_digest(name, self._login.username.encode())
        right_password = hmac.compare_digest(password, self._login.password.encode())
        return right_name and right_password and not self._wrong

    async def _system(self, _: web.Request) -> web.Response:
        return web.json_response(documents.system(self._machine, self._chassis))

    async def _patch_system(self, request: web.Request) -> web.Response:
        body = await _body(request)
        boot: Any = body.pop("Boot", {})
        if body or not isinstance(boot, dict):
            raise Refusal(400, "Only Boot can be changed, and it is an object")
        boot = cast("dict[str, Any]", boot)
        target = boot.get("BootSourceOverrideTarget")
        enabled = boot.get("BootSourceOverrideEnabled", "Once")
        if target is not None and (not isinstance(target, str) or target not in BOOT_TARGETS):
            raise Refusal(400, f"BootSourceOverrideTarget takes {', '.join(BOOT_TARGETS)}")
        if enabled not in ("Once", "Disabled"):
            raise Refusal(400, "BootSourceOverrideEnabled takes Once, Disabled")
        if enabled == "Disabled" or target == "None":
            self._chassis.set_next_boot("none")
        elif target is not None:
            self._chassis.set_next_boot(BOOT_TARGETS[target])
        return web.Response(status=204)

    async def _reset(self, request: web.Request) -> web.Response:
        wanted = (await _body(request)).get("ResetType", "On")
        if wanted == "On":
            await self._chassis.switch_on()
        elif wanted == "ForceOff":
            await self._chassis.switch_off()
        elif wanted == "GracefulShutdown":
            await self._chassis.press_button()
        elif wanted == "ForceRestart":
            await self._chassis.reset()
        else:
            raise Refusal(400, f"ResetType takes {', '.join(documents.RESET_TYPES)}")
        return web.Response(status=204)

    async def _list_sessions(self, _: web.Request) -> web.Response:
        path = f"{ROOT}/SessionService/Sessions"
        return web.json_response(
            documents.collection(path, "Session", [f"{path}/{one}" for one in self._sessions.ids()])
        )

    async def _log_in(self, request: web.Request) -> web.Response:
        body = await _body(request)
        name, password = body.get("UserName"), body.get("Password")
        if not isinstance(name, str) or not isinstance(password, str):
            raise Refusal(400, "UserName and Password are needed")
        if not self._right(name.encode(), password.encode()):
            raise Refusal(401, "The user name or the password is wrong")
        session, token = self._sessions.open(name)
        path = f"{ROOT}/SessionService/Sessions/{session}"
        return web.json_response(
            documents.session(path, session, name),
            status=201,
            headers={"X-Auth-Token": token, "Location": path},
        )

    async def _show_session(self, request: web.Request) -> web.Response:
        session = request.match_info["id"]
        user = self._sessions.user(session)
        if user is None:
            raise Refusal(404, "There is no such session")
        return web.json_response(documents.session(request.path, session, user))

    async def _log_out(self, request: web.Request) -> web.Response:
        if not self._sessions.close(request.match_info["id"]):
            raise Refusal(404, "There is no such session")
        return web.Response(status=204)


async def _body(request: web.Request) -> dict[str, Any]:
    try:
        body: Any = msgspec.json.decode(await request.read() or b"{}")
    except (msgspec.DecodeError, RecursionError) as error:
        raise Refusal(400, "The body is not JSON") from error
    if not isinstance(body, dict):
        raise Refusal(400, "The body is not a JSON object")
    return cast("dict[str, Any]", body)


def _error(status: int, message: str) -> web.Response:
    """An error in Redfish's form (DSP0266, 8.6)."""
    entry = {"MessageId": "Base.1.0.GeneralError", "Message": message, "Severity": "Critical"}
    return web.json_response(
        {
            "error": {
                "code": "Base.1.0.GeneralError",
                "message": message,
                "@Message.ExtendedInfo": [entry],
            }
        },
        status=status,
    )
