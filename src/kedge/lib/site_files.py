"""Bounds of a site's folder, whoever reads it."""

MOST_BYTES = 32_000_000
MOST_FILES = 5000
NEVER = frozenset(("secrets.yaml", "secrets.yml"))
"""Files that are never part of a site."""
