"""The hook of a bare repository that begins a run at every push."""

from __future__ import annotations

import shlex
from pathlib import Path

from kedge.lib.errors import KedgeError

MARK = "# begins kedge ci; written by: kedge ci hook"


def hook_text(kedge: str, options: list[str], repository: Path, branch: str, site: str) -> str:
    """The hook: it only begins a run and returns at once, so that the push does not wait."""
    command = shlex.join(
        [kedge, *options, "ci", "run", str(repository), "--ref", branch, "--site", site, "--detach"]
    )
    return f"""#!/bin/sh
{MARK}
while read -r old new ref; do
    case $ref in
        {shlex.quote(f"refs/heads/{branch}")}) {command} --commit "$new" ;;
    esac
done
"""


def install_hook(repository: Path, text: str) -> Path:
    """Write it; raises `KedgeError` where that is no bare repository, or another hook is there."""
    hooks = repository / "hooks"
    if not (repository / "HEAD").is_file() or not (repository / "objects").is_dir():
        raise KedgeError(
            "ci.repository", "is no bare git repository", where=str(repository),
            next_step=f"git init --bare {repository}",
        )  # fmt: skip
    path = hooks / "post-receive"
    if path.exists() and MARK not in path.read_text(errors="replace"):
        raise KedgeError(
            "ci.hook", "there is another hook already", where=str(path),
            next_step="Call kedge ci run --detach from it, or move it away",
        )  # fmt: skip
    hooks.mkdir(exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    return path
