"""The lab's passwords: generated where the lab's file gives none, kept in one private file.

The file has the form of a site's ``secrets.yaml``, so that a site can use it as it stands.
"""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

import yaml

from kedge.lab.bmc import Login
from kedge.lab.description import Description
from kedge.lab.paths import write_private

HEAD = "# Made by kedge lab up for this lab; keep it private.\n"


def prepare(description: Description, path: Path) -> None:
    """Write the secrets file unless it is there."""
    if path.exists():
        return
    given = description.bmc_credentials
    values = {
        "bmc": {
            "username": given.username,
            "password": given.password or secrets.token_urlsafe(12),  # IPMI takes at most 20 bytes
        },
        "registry": {"username": "kedge", "password": secrets.token_urlsafe(24)},
    }
    write_private(path, HEAD + yaml.safe_dump(values, sort_keys=False))


def login(path: Path, name: str) -> Login:
    """The credentials called ``name`` (bmc, registry) in the secrets file."""
    values: Any = yaml.safe_load(path.read_text(encoding="utf-8"))
    return Login(values[name]["username"], values[name]["password"])
