"""Redfish: read and switch a machine's power with sushy.

One client per BMC is kept between calls, so that a read is one request, not five. The calls to one
BMC come one at a time (its lane), so no two threads ever share a client. sushy's own retries are
turned off: it would repeat a request three times over minutes, also one that changes something.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import requests
import sushy
from sushy import exceptions as problems
from sushy.auth import BasicAuth, SessionAuth
from sushy.connector import Connector
from sushy.resources.system.system import System

from kedge.lib.errors import KedgeError
from kedge.modules.power.answers import bound
from kedge.modules.power.bmc import (
    Bmc,
    PowerState,
    busy,
    failed,
    no_answer,
    no_system,
    refused,
    unsupported,
    untrusted,
)

# pyright: reportMissingTypeStubs=false, reportUnknownMemberType=false
# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false

T = TypeVar("T")

CONNECT_TIMEOUT_S = 4.0
READ_TIMEOUT_S = 10
TOO_MANY_REQUESTS, UNAVAILABLE, CONFLICT = 429, 503, 409
ON, OFF = sushy.PowerState.ON, sushy.PowerState.OFF
NONSENSE = (
    requests.RequestException, OSError, LookupError, TypeError, ValueError, AttributeError,
    RecursionError,
)  # fmt: skip
"""What sushy raises over an answer that is not Redfish."""
HAS_POWER: Mapping[Any, PowerState] = {
    sushy.PowerState.ON: "on",
    sushy.PowerState.POWERING_OFF: "on",
    sushy.PowerState.PAUSED: "on",
    sushy.PowerState.OFF: "off",
    sushy.PowerState.POWERING_ON: "off",
}


class _Client:
    """A logged-in client of one BMC and the one system that is meant."""

    def __init__(self, bmc: Bmc) -> None:
        host = f"[{bmc.address}]" if ":" in bmc.address else bmc.address
        scheme = "http" if bmc.tls == "none" else "https"
        url = f"{scheme}://{host}:{bmc.port}"
        verify: Any = {"verify": True, "insecure": False, "none": True}.get(bmc.tls, bmc.tls)
        connector = Connector(
            url,
            verify=verify,
            server_side_retries=1,  # 0 would mean three
            server_side_retries_delay=1,
            default_request_timeout=READ_TIMEOUT_S,
            connect_timeout=CONNECT_TIMEOUT_S,
        )
        # A proxy or a .netrc in the head's environment is not meant for its BMCs.
        http = connector._session  # pyright: ignore[reportPrivateUsage]
        http.trust_env = False
        bound(http)
        kind = BasicAuth if bmc.auth == "basic" else SessionAuth
        self._auth = kind(username=bmc.username, password=bmc.password)
        self._connector = connector
        root = sushy.Sushy(url, auth=self._auth, connector=connector)
        try:
            self.system = _find(root, bmc)
        except problems.ConnectionError:
            self.abandon()
            raise
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the BMC's session (it has few); what cannot be ended runs out there by itself."""
        try:
            self._auth.close()
        except (problems.SushyError, requests.RequestException):
            pass
        finally:
            self.abandon()

    def abandon(self) -> None:
        """Forget the session without a word to a BMC that does not answer, or does not know us."""
        if isinstance(self._auth, SessionAuth):
            self._auth.reset_session_attrs()  # else sushy's finaliser would speak to the BMC
        self._connector.close()


def _find(root: sushy.Sushy, bmc: Bmc) -> System:
    systems = root.get_system_collection()
    members: Sequence[str] = systems.members_identities or ()
    paths: dict[str, str] = {path.rstrip("/").rpartition("/")[2]: path for path in members}
    if bmc.system:
        path = paths.get(bmc.system.rstrip("/").rpartition("/")[2])
    else:
        path = next(iter(paths.values())) if len(paths) == 1 else None
    if path is None:
        raise no_system(bmc, "it has " + (", ".join(sorted(paths)[:8]) or "none"))
    return root.get_system(path)


class RedfishDriver:
    """A `Driver` over HTTPS; keeps its session between calls until one of them fails."""

    def __init__(self, bmc: Bmc) -> None:
        self._bmc = bmc
        self._client: _Client | None = None

    def read(self) -> PowerState:
        """``PowerState`` of the system; *PoweringOn* is not on yet, *PoweringOff* not off yet."""

        def ask(system: System) -> PowerState:
            state = HAS_POWER.get(system.power_state)
            if state is None:
                raise failed(self._bmc, "read its power state", "it does not say one")
            return state

        return self._ask("read its power state", ask)

    def on(self) -> None:
        """``On``, or ``ForceOn`` where that is all there is."""
        self._reset("switch on", ON, sushy.ResetType.ON, sushy.ResetType.FORCE_ON)

    def off(self) -> None:
        """``ForceOff``."""
        self._reset("switch off", OFF, sushy.ResetType.FORCE_OFF)

    def shut_down(self) -> None:
        """``GracefulShutdown``."""
        self._reset("shut down", OFF, sushy.ResetType.GRACEFUL_SHUTDOWN)

    def boot_from_network_once(self) -> None:
        """Boot source override ``Pxe`` or ``UefiHttp``, once."""
        modes = {
            "bios": sushy.BootSourceOverrideMode.LEGACY,
            "uefi": sushy.BootSourceOverrideMode.UEFI,
        }

        def ask(system: System) -> None:
            system.set_system_boot_options(
                sushy.BootSource.PXE,
                enabled=sushy.BootSourceOverrideEnabled.ONCE,
                mode=modes.get(self._bmc.firmware),
            )

        self._ask("set the next boot device", ask)

    def close(self) -> None:
        """End the session."""
        client, self._client = self._client, None
        if client is not None:
            client.close()

    def _drop(self, error: problems.SushyError) -> None:
        """Keep the session where the BMC only declined; each new one takes one of its few."""
        if isinstance(error, problems.ConnectionError | problems.AccessError):
            client, self._client = self._client, None
            if client is not None:
                client.abandon()
        elif not isinstance(error, problems.ServerSideError):
            self.close()

    def _reset(self, what: str, end: sushy.PowerState, *wanted: sushy.ResetType) -> None:
        def ask(system: System) -> None:
            state: Any = system.power_state
            if state == end:
                return  # some services answer that with an error
            allowed = system.get_allowed_reset_system_values()
            chosen = next((reset for reset in wanted if reset in allowed), None)
            if chosen is None:
                raise unsupported(self._bmc, what, f"it does not offer {wanted[0].value}")
            system.reset_system(chosen)

        self._ask(what, ask)

    def _ask(self, what: str, ask: Callable[[System], T]) -> T:
        bmc = self._bmc
        if bmc.tls not in ("verify", "insecure", "none") and not Path(bmc.tls).exists():
            raise untrusted(bmc, f"there is no file {bmc.tls}")
        try:
            if self._client is None:
                self._client = _Client(bmc)
            else:
                self._client.system.refresh(force=True)
            return ask(self._client.system)
        except KedgeError:
            raise
        except problems.SushyError as error:
            self._drop(error)
            raise _explain(bmc, what, error) from error
        except NONSENSE as error:
            self.close()
            raise failed(bmc, what, "its answer makes no sense") from error


def _explain(bmc: Bmc, what: str, error: problems.SushyError) -> KedgeError:
    """The operator's words for what sushy raised."""
    if isinstance(error, problems.ConnectionError):
        return _explain_connection(bmc, error)
    if isinstance(error, problems.AccessError):
        return refused(bmc, f"HTTP {error.status_code}")
    if isinstance(error, problems.HTTPError):
        why = f"HTTP {error.status_code}" + (f", {error.detail}" if error.detail else "")
        if error.status_code in (TOO_MANY_REQUESTS, UNAVAILABLE, CONFLICT):
            return busy(bmc, why)
        if isinstance(error, problems.ResourceNotFoundError):
            return unsupported(bmc, what, "HTTP 404; is this a Redfish BMC, with this system?")
        return failed(bmc, what, why)
    if isinstance(error, problems.InvalidParameterValueError | problems.MissingActionError):
        return unsupported(bmc, what, str(error))
    if isinstance(error, problems.MissingXAuthToken):
        return unsupported(bmc, "open a session", "set auth: basic in power.bmc")
    return failed(bmc, what, str(error))


def _explain_connection(bmc: Bmc, error: BaseException) -> KedgeError:
    """Tell a certificate that is refused from a BMC that is silent, by what caused the error."""
    cause: BaseException | None = error
    seen: list[BaseException] = []
    while cause is not None and cause not in seen:
        seen.append(cause)
        if isinstance(cause, ssl.SSLCertVerificationError):
            return untrusted(bmc, cause.verify_message)
        if isinstance(cause, requests.exceptions.SSLError):
            return untrusted(bmc, _root_reason(cause))
        if isinstance(cause, requests.exceptions.Timeout):
            return no_answer(bmc, "it did not answer in time")
        cause = cause.__cause__ or cause.__context__
    return no_answer(bmc, _root_reason(seen[-1]))


def _root_reason(error: BaseException) -> str:
    reason = getattr(error, "strerror", None)
    return str(reason) if reason else type(error).__name__
