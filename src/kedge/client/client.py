"""The client: one typed method for each operation of the API, and the event stream."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from types import TracebackType
from typing import Any, Self
from urllib.parse import quote

import msgspec

from kedge.client.calling import Json
from kedge.client.changes import ChangeCalls
from kedge.client.endpoint import Endpoint
from kedge.client.looks import LookCalls
from kedge.client.modules import ModuleCalls
from kedge.client.releases import ReleaseCalls
from kedge.client.stream import Message, read_messages
from kedge.client.submasters import SubMasterCalls
from kedge.client.transport import TIMEOUT_S, Transport
from kedge.lib.errors import KedgeError
from kedge.shapes.log import EventRow
from kedge.shapes.nodes import About, NodeRow
from kedge.shapes.paths import PlanRow
from kedge.shapes.site import VariableRow

RETRY_LEAST_S = 0.5
RETRY_MOST_S = 5.0
SILENCE_S = 45.0


class Client(ChangeCalls, LookCalls, ModuleCalls, ReleaseCalls, SubMasterCalls):
    """All operations; every method raises `KedgeError`. Use it inside ``async with``."""

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = TIMEOUT_S) -> None:
        self._transport = Transport(endpoint, timeout_s=timeout_s)

    async def __aenter__(self) -> Self:
        await self._transport.open()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:  # fmt: skip
        await self._transport.close()

    async def about(self) -> About:
        """The master itself."""
        return await self.get("/v1/about", About)

    async def status(self, nodes: str = "") -> list[NodeRow]:
        """One row a node."""
        return await self.get("/v1/status", list[NodeRow], nodes=nodes)

    async def node(self, name: str) -> Json:
        """All that is known of one node."""
        return await self.get(f"/v1/nodes/{quote(name, safe='')}", Json)

    async def strangers(self) -> list[Json]:
        """Machines that are in no file."""
        return await self.get("/v1/strangers", list[Json])

    async def plan(self, nodes: str, to: str = "", *, fold: bool = False) -> list[PlanRow]:
        """For each node the path to what is configured (``to``: to other goals), or what blocks it;
        ``fold``: alike nodes in one row."""
        query = {"nodes": nodes, "to": to, "fold": "true" if fold else ""}
        return await self.get("/v1/plan", list[PlanRow], **query)

    async def graph(self, *, style: str = "dot", module: str = "", node: str = "") -> str:
        """The mutation graph as text."""
        query = {"style": style, "module": module, "node": node}
        return (await self._transport.call("GET", "/v1/graph", query=query)).decode()

    async def variables(self) -> list[VariableRow]:
        """All declared variables."""
        return await self.get("/v1/variables", list[VariableRow])

    async def events(self, nodes: str = "", after: int = 0, limit: int = 100) -> list[EventRow]:
        """The log: the last events, or the first behind ``after``."""
        return await self.get("/v1/events", list[EventRow], nodes=nodes, after=after, limit=limit)

    async def diff(self, files: Mapping[str, str]) -> list[Json]:
        """What applying a site's files would change."""
        return await self.post("/v1/diff", list[Json], files=files)

    async def apply(self, files: Mapping[str, str], revision: int | None = None) -> list[Json]:
        """Make files the site; with ``revision`` only if nobody committed since."""
        return await self.post("/v1/apply", list[Json], files=files, revision=revision)

    async def act(self, module: str, action: str, args: Mapping[str, Any]) -> Any:
        """A verb of a module's own, to its end however long it takes."""
        path = f"/v1/modules/{quote(module, safe='')}/actions/{quote(action, safe='')}"
        answer = await self._transport.call("POST", path, body={"args": args}, lasting=True)
        return msgspec.json.decode(answer)

    async def watch(
        self, *topics: str, after: int = 0, reconnect: bool = True
    ) -> AsyncIterator[Message]:
        """Everything that happens (no topics: all of it), lines of the log behind ``after`` first.

        After a lost connection it goes on where it was; the first message of each connection has
        the topic ``connected``, so that the caller looks anew at what is not in the log.
        """
        last, pause_s = after, RETRY_LEAST_S
        while True:
            try:
                async for message in self._watch_once(topics, last):
                    last = message.seq or last
                    pause_s = RETRY_LEAST_S
                    yield message
            except KedgeError as error:
                if not reconnect or error.code not in ("api.unreachable", "api.busy"):
                    raise
            if not reconnect:
                return
            await asyncio.sleep(pause_s)
            pause_s = min(pause_s * 2, RETRY_MOST_S)

    async def _watch_once(self, topics: tuple[str, ...], last: int) -> AsyncIterator[Message]:
        headers = {"Last-Event-ID": str(last)} if last else None
        query = {"topics": ",".join(topics)}
        async with self._transport.exchange(
            "GET", "/v1/watch", query=query, headers=headers, lasting=True
        ) as response:
            yield Message("connected", {})
            async for message in read_messages(response, SILENCE_S):
                yield message
