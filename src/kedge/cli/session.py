"""What commands share: the connection to Kedge, the form of the output, names for completion."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kedge.lib.errors import KedgeError

if TYPE_CHECKING:
    from kedge.client.client import Client

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

COMPLETION_TIMEOUT_S = 2.0


@dataclass(frozen=True, slots=True)
class Shared:
    """The options of ``kedge`` itself."""

    api: str = ""
    config: Path | None = None


def shared() -> Shared:
    """The options of ``kedge`` itself, in the running command."""
    found = click.get_current_context().find_root().obj
    return found if isinstance(found, Shared) else Shared()


def ask(work: Callable[[Client], Awaitable[T]], *, timeout_s: float = 60.0) -> T:
    """Connect, do ``work``, and disconnect."""
    return _ask(shared(), work, timeout_s)


def _ask(options: Shared, work: Callable[[Client], Awaitable[T]], timeout_s: float) -> T:
    import asyncio

    from kedge.client.client import Client
    from kedge.client.endpoint import find_endpoint

    async def connected() -> T:
        endpoint = find_endpoint(options.api, options.config)
        async with Client(endpoint, timeout_s=timeout_s) as client:
            return await work(client)

    return asyncio.run(connected())


def output_option(command: F) -> F:
    """``-o table|json|yaml``."""
    return click.option(
        "-o", "--output", type=click.Choice(["table", "json", "yaml"]), default="table",
        show_default=True, help="The form of the output.",
    )(command)  # fmt: skip


def yes_option(command: F) -> F:
    """``--yes``."""
    return click.option("-y", "--yes", is_flag=True, help="Do not ask.")(command)


def wait_options(command: F) -> F:
    """``--wait`` and ``--timeout``."""
    command = click.option(
        "--timeout", "timeout_s", type=click.FloatRange(min=0), metavar="SECONDS", default=1800.0,
        show_default=True, help="How long to wait.",
    )(command)  # fmt: skip
    return click.option("--wait", is_flag=True, help="Wait until the nodes converge.")(command)


def _completing(
    ctx: click.Context, incomplete: str, names: Callable[[Client], Awaitable[list[str]]]
) -> list[str]:
    found = ctx.find_root()
    options = Shared(str(found.params.get("api") or ""), found.params.get("config"))
    head, comma, last = incomplete.rpartition(",")
    try:
        known = _ask(options, names, COMPLETION_TIMEOUT_S)
    except (KedgeError, OSError):
        return []
    return [head + comma + name for name in known if name.startswith(last)]


def complete_nodes(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of nodes and groups (``@rack1``), also behind a comma."""

    async def names(client: Client) -> list[str]:
        rows = await client.status()
        groups = sorted({f"@{row.group}" for row in rows if row.group})
        return [*(row.node for row in rows), *groups]

    return _completing(ctx, incomplete, names)


def complete_groups(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of groups."""

    async def names(client: Client) -> list[str]:
        return sorted({row.group for row in await client.status() if row.group})

    return _completing(ctx, incomplete, names)


def complete_variables(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[str]:
    """Names of variables that can be configured."""

    async def names(client: Client) -> list[str]:
        return [f"{row.name}" for row in await client.variables() if row.configured]

    return _completing(ctx, incomplete, names)


def nodes_argument(*, required: bool = True) -> Callable[[F], F]:
    """The NODESET argument."""

    def decorate(command: F) -> F:
        absent: dict[str, Any] = {} if required else {"default": ""}
        return click.argument(
            "nodes", metavar="NODESET" if required else "[NODESET]", required=required,
            shell_complete=complete_nodes, **absent,
        )(command)  # fmt: skip

    return decorate
