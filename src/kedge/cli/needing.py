"""Who needs an image, in words, and what of a list of images could go."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kedge.lib.nodeset import expand


def needed_by(row: Mapping[str, Any]) -> str:
    """``wanted by n[1-4] (4), release A``; ``nothing``; or why nobody knows."""
    from kedge.cli.render import short

    need: Mapping[str, Any] | None = row.get("needed_by")
    if need is None:
        return f"not known: {row.get('unknown') or 'this Kedge does not say'}"
    said: list[str] = []
    for key, words in (("wanted", "wanted by"), ("running", "running on")):
        nodes = str(need.get(key) or "")
        if nodes:
            count = len(expand(nodes))
            said.append(f"{words} {short(nodes)}" + ("" if count == 1 else f" ({count})"))
    files: list[str] = list(need.get("files") or ())
    if files and not need.get("wanted"):  # else it is named there, of course
        said.append(f"named in {', '.join(files)}")
    for key, one in (("releases", "release"), ("rollouts", "rollout")):
        names: list[str] = list(need.get(key) or ())
        if names:
            said.append(f"{one}{'' if len(names) == 1 else 's'} {', '.join(names)}")
    if need.get("master"):
        said.append("handed down by the master")
    return ", ".join(said) or "nothing"
