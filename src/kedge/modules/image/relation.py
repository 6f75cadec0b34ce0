"""How a running image stands to the wanted one, in the symbols that the planner chooses gears by."""

from __future__ import annotations

from kedge.core.kinds import Value

RUNNING = ("none", "wanted", "files", "userland", "kernel")
READY = ("missing", "ready")


def reference_of(wanted: Value) -> str:
    """The reference in a configured ``image.wanted``, whether it is already pinned or not."""
    if isinstance(wanted, dict):
        wanted = wanted.get("reference")
    return wanted if isinstance(wanted, str) else ""


def digest_of(discovered: Value) -> str:
    """The manifest digest of a discovered ``image.running`` (empty: nothing runs, or it is unknown)."""
    if isinstance(discovered, dict):
        discovered = discovered.get("digest")
    return discovered if isinstance(discovered, str) else ""


def running(discovered: Value, configured: Value) -> str:
    """``discovered``: ``{"digest", "kernel", "files"}`` of what runs (a missing key is not known), or
    the bare digest; ``configured``: the same of what is pinned, or the bare reference as long as
    nothing is. A difference that cannot be told counts as the deepest.
    """
    if isinstance(discovered, str):
        discovered = {"digest": discovered}
    if not isinstance(discovered, dict) or not discovered.get("digest"):
        return "none"
    if not isinstance(configured, dict) or not configured.get("digest"):
        return "kernel"
    if discovered["digest"] == configured["digest"]:
        wanted_files = configured.get("files")
        same = wanted_files is None or discovered.get("files") in (None, wanted_files)
        return "wanted" if same else "files"
    kernel = discovered.get("kernel")
    return "userland" if kernel and kernel == configured.get("kernel") else "kernel"


def ready(discovered: Value, configured: Value) -> str:
    """``discovered``: the reference that is imported; ``configured``: the one that is wanted."""
    return "ready" if discovered and discovered == reference_of(configured) else "missing"
