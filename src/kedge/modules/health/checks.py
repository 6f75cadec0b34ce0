"""What a site may write about health checks, as kinds: ready checks by name, and scripts of its own."""

from __future__ import annotations

from collections.abc import Mapping

from kedge.core.kinds import Boolean, Enum, Integer, Kind, ListOf, Struct, Text

PATH = Text(r"/[^\x00\n]{0,999}", "/scratch")

COMMON: Mapping[str, Kind] = {
    "enabled": Boolean(),
    "every_s": Integer(300, 86_400),
    "timeout_s": Integer(1, 120),
    "back": Enum(("automatic", "by_hand")),
}
"""How often, for how long at most, and who brings a node back that failed: Kedge as soon as the check
passes again, or a person."""

READY: Mapping[str, Mapping[str, Kind]] = {
    "disks": {"paths": ListOf(PATH, most=32), "free_percent": Integer(0, 99)},
    "memory": {"least_mib": Integer(1)},
    "mounts": {"paths": ListOf(PATH, most=64)},
    "clock": {"offset_ms": Integer(1, 3_600_000)},
    "network": {
        "interfaces": ListOf(Text(r"[A-Za-z0-9._-]{1,15}", "eth0"), most=32),
        "least_mbps": Integer(1),
    },
    "gpus": {"count": Integer(0, 64)},
    "kernel": {"patterns": ListOf(Text(example="NVRM: Xid", max_length=200), most=64)},
}

CHECKS = Struct({name: Struct({**COMMON, **fields}) for name, fields in READY.items()})

SCRIPTS = ListOf(
    Struct(
        {
            **COMMON,
            "name": Text(r"[a-z0-9][a-z0-9_-]{0,31}", "scratch-writable"),
            "run": Text(r"[^\x00\n]{1,2000}", "/etc/kedge/checks/scratch --fast"),
        },
        required=frozenset({"name", "run"}),
    ),
    most=32,
)
