"""What the site's own words may be: names of nodes, keys of each section, and what looks like a secret."""

from __future__ import annotations

import re

from kedge.site.tree import Items, Scalar, Table, Tree

PROVISION = "provision"
"""The network that nodes boot from; every node needs an address on it."""

SECTIONS = (
    "cluster",
    "networks",
    "profiles",
    "groups",
    "nodes",
    "macs",
    "files",
    "overlays",
    "budgets",
    "settings",
)
LAYER_KEYS = ("vars", "addresses", "files", "overlays")
CLUSTER_KEYS = ("name", "domain", "hold", *LAYER_KEYS)
PROFILE_KEYS = ("extends", *LAYER_KEYS)
GROUP_KEYS = ("nodes", "profiles", "parents", "hold", *LAYER_KEYS)
NODE_KEYS = ("profiles", "hold", "macs", *LAYER_KEYS)
NETWORK_KEYS = ("cidr", "gateway", "dns", "ntp")
FILE_KEYS = ("template", "text", "mode", "owner")

NODE_NAME = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
WORD = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]{0,61}[A-Za-z0-9])?")
DOMAIN = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*")
ATTRIBUTE = re.compile(r"[a-z][a-z0-9_]{0,62}")
BUDGET = re.compile(r"[a-z*?][a-z0-9_*?]*(\.[a-z0-9_*?]+)*")
OUT_OF_SERVICE = "out_of_service"
"""The budget of nodes that are out of service at once; all others are of steps."""
MAC = re.compile(r"[0-9a-fA-F]{2}(?:([:-])[0-9a-fA-F]{2})(?:\1[0-9a-fA-F]{2}){4}")

_SECRET_KEY = re.compile(
    r"(.*[_-])?(password|passwd|passphrase|secret|token|private[_-]?key|api[_-]?key)", re.IGNORECASE
)
_SECRET_TEXT = re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----")


def canonical_mac(text: str) -> str | None:
    """A unicast MAC address in lower case with colons, or None."""
    if not MAC.fullmatch(text):
        return None
    mac = text.lower().replace("-", ":")
    return None if int(mac[:2], 16) & 1 or mac == "00:00:00:00:00:00" else mac


def is_secret_text(text: str) -> bool:
    """Whether the text holds a private key."""
    return bool(_SECRET_TEXT.search(text))


def is_secret_key(key: str) -> bool:
    """Whether a key asks for a secret's value."""
    return bool(_SECRET_KEY.fullmatch(key.rpartition(".")[2]))


def find_secret(tree: Tree) -> Scalar | None:
    """The first value in ``tree`` that is a secret written out, if there is one."""
    if isinstance(tree, Scalar):
        return tree if is_secret_text(tree.raw) else None
    if isinstance(tree, Items):
        return next((hit for item in tree.items if (hit := find_secret(item))), None)
    return _secret_in_table(tree)


def _secret_in_table(table: Table) -> Scalar | None:
    for key, value in table.entries.items():
        if is_secret_key(key) and isinstance(value, Scalar) and value.raw:
            return value
        if hit := find_secret(value):
            return hit
    return None
