"""Runs on nodes, in layer0's Python: takes the join file of a sub-master, and starts the sub-master."""

# pyright: basic
# ruff: noqa: PTH105

import json
import os

JOIN = "etc/kedge/submaster.join"
UNIT = "kedge.service"


def carry_out(here, mutation, args):
    """Where the sub-master runs, or remembers an earlier join, it begins anew with this one."""
    path = here.root / JOIN
    path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    draft = path.with_name(".submaster.join.new")
    draft.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
    with os.fdopen(os.open(draft, flags, 0o600), "w") as out:
        out.write(json.dumps(args))
    os.replace(draft, path)
    code, printed = here.run("systemctl", "restart", "--no-block", UNIT)
    if code != 0:
        raise RuntimeError(f"systemctl restart {UNIT}: {printed.strip() or f'exit status {code}'}")
