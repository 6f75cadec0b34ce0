"""The head's one configuration file, checked like everything else that people write."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import yaml

from kedge.core.kinds import (
    Address,
    Anything,
    Boolean,
    Enum,
    Integer,
    ListOf,
    Struct,
    Text,
    Value,
    ValueProblem,
)
from kedge.lib.errors import KedgeError

DEFAULT_PATH = Path("/etc/kedge/kedge.yaml")

API = Struct(
    {"socket": Text(example="/run/kedge/api.sock"), "listen": Text(example="127.0.0.1:8470")}
)
SYNC = Struct(
    {
        "address": Address(),
        "port": Integer(1, 65535),
        "advertise": Address(),
        "heartbeat_s": Integer(1, 3600),
    },
    defaults={"address": "0.0.0.0", "port": 8471, "heartbeat_s": 10},
)
EVENTS = Struct(
    {"keep_days": Integer(1, 36_500), "keep_mib": Integer(16, 1_000_000)},
    defaults={"keep_days": 400, "keep_mib": 2048},
)
TREE = Struct(
    {
        "name": Text(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?", "sm1"),
        "join": Text(example="/etc/kedge/sm1.join"),
        "masters": ListOf(Text(example="10.77.0.1:8471"), most=16),
        "lease_s": Integer(10, 3600),
    },
    defaults={"lease_s": 60},
)
TOP = Struct(
    {
        "role": Enum(("master", "sub-master")),
        "tree": TREE,
        "state_dir": Text(example="/var/lib/kedge"),
        "api": API,
        "sync": SYNC,
        "events": EVENTS,
        "power": Anything(),
        "boot": Anything(),
        "image": Anything(),
        "modules": Anything(),
        "verbose": Boolean(),
    },
    defaults={
        "role": "master",
        "tree": TREE.check({}),
        "state_dir": "/var/lib/kedge",
        "api": {},
        "sync": SYNC.check({}),
        "events": EVENTS.check({}),
        "power": {},
        "boot": {},
        "image": {},
        "modules": {},
    },
)


@dataclass(frozen=True, slots=True)
class Settings:
    """The head's own settings. ``sections`` holds what belongs to each module, as written."""

    state_dir: Path
    api_socket: Path
    api_listen: str = ""
    sync_address: str = "0.0.0.0"
    sync_port: int = 8471
    sync_advertise: str = ""
    heartbeat_s: float = 10.0
    events_keep_days: int = 400
    events_keep_mib: int = 2048
    sections: Mapping[str, Mapping[str, Value]] = field(
        default_factory=dict[str, Mapping[str, Value]]
    )
    role: str = "master"
    name: str = ""
    join: Path | None = None
    masters: tuple[str, ...] = ()
    lease_s: float = 60.0


def read_settings(path: Path | None = None) -> Settings:
    """Read the file (``$KEDGE_CONFIG``, else /etc/kedge/kedge.yaml, which may be absent: all defaults).

    Raises `KedgeError` for what it does not understand.
    """
    chosen = path or Path(os.environ.get("KEDGE_CONFIG") or DEFAULT_PATH)
    try:
        written: object = yaml.safe_load(chosen.read_text())
    except FileNotFoundError:
        if path is not None or os.environ.get("KEDGE_CONFIG"):
            raise KedgeError(
                "settings.missing", "there is no such configuration file", where=str(chosen),
                next_step="Make one with: kedge init",
            ) from None  # fmt: skip
        written = {}
    except (OSError, yaml.YAMLError, UnicodeDecodeError) as error:
        raise KedgeError(
            "settings.unreadable",
            "cannot read the configuration",
            where=str(chosen),
            why=str(error),
        ) from error
    return parse_settings(written, str(chosen))


def parse_settings(written: object, where: str) -> Settings:
    """Check an already decoded configuration; raises `KedgeError` (``settings.invalid``)."""
    if isinstance(written, dict):  # a section of which all lines are comments
        entries = cast("dict[object, object]", written)
        written = {key: value for key, value in entries.items() if value is not None}
    try:
        top = cast("dict[str, Value]", TOP.check(written or {}))
    except ValueProblem as problem:
        raise KedgeError(
            "settings.invalid", f"{problem.key}: {problem.what}" if problem.key else problem.what,
            where=where, next_step=f"Valid: {problem.valid}",
        ) from None  # fmt: skip
    sections: dict[str, Mapping[str, Value]] = {}
    for name in ("power", "boot", "image", "modules"):
        section = top[name]
        if not isinstance(section, dict):
            raise KedgeError("settings.invalid", f"{name} is not a mapping", where=where)
        sections[name] = section
    state_dir = Path(str(top["state_dir"]))
    api = cast("dict[str, Value]", top["api"])
    sync = cast("dict[str, Value]", top["sync"])
    events = cast("dict[str, Value]", top["events"])
    tree = cast("dict[str, Value]", top["tree"])
    return Settings(
        state_dir=state_dir,
        api_socket=Path(str(api.get("socket") or state_dir / "api.sock")),
        api_listen=str(api.get("listen") or ""),
        sync_address=str(sync["address"]),
        sync_port=int(cast("int", sync["port"])),
        sync_advertise=str(sync.get("advertise") or ""),
        heartbeat_s=float(cast("int", sync["heartbeat_s"])),
        events_keep_days=int(cast("int", events["keep_days"])),
        events_keep_mib=int(cast("int", events["keep_mib"])),
        sections=sections,
        role=str(top["role"]),
        name=str(tree.get("name") or ""),
        join=Path(str(tree["join"])) if tree.get("join") else None,
        masters=tuple(str(each) for each in cast("list[Value]", tree.get("masters") or [])),
        lease_s=float(cast("int", tree["lease_s"])),
    )
