"""Bounds of a site's folder, whoever reads it."""

MOST_BYTES = 32_000_000
MOST_FILES = 5000
MOST_NAME = 500
NEVER = frozenset(("secrets.yaml", "secrets.yml"))
"""Files that are never part of a site."""


def is_plain(name: str) -> bool:
    """Whether a name stays inside the folder that it is put into."""
    parts = name.split("/")
    return len(name) <= MOST_NAME and "\0" not in name and not {"", ".", ".."} & set(parts)
