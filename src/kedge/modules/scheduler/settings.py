"""The head's own settings of the scheduler, and the driver that they choose.

```yaml
modules:
  scheduler:
    driver: slurm
    url: http://slurm.example:6820   # none: Slurm's commands
    secret: slurm                    # {token: ...} or {token_file: ...}, and {username: ...}
```
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kedge.core.kinds import Enum, Integer, ListOf, Struct, Text, Value, ValueProblem
from kedge.lib.errors import KedgeError
from kedge.modules.port import Io
from kedge.modules.scheduler.driver import Driver
from kedge.modules.scheduler.slurm_command import Commands
from kedge.modules.scheduler.slurm_rest import Endpoint, Rest

SETTINGS = Struct(
    {
        "driver": Enum(("none", "slurm")),
        "url": Text(r"(https?|unix):.{1,300}", "http://slurm.example:6820"),
        "secret": Text(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}", "slurm"),
        "ca": Text(r"/.+", "/etc/kedge/slurm-ca.pem"),
        "api_version": Integer(38, 99),
        "conf": Text(r"/.+", "/etc/slurm/slurm.conf"),
        "command_prefix": ListOf(Text(example="ssh"), most=16),
        "every_s": Integer(1, 600),
        "health_share_percent": Integer(1, 100),
    },
    defaults={"driver": "none", "every_s": 10, "health_share_percent": 10},
)


def settings_of(io: Io) -> dict[str, Value]:
    """The checked section; raises `KedgeError`."""
    try:
        checked = SETTINGS.check(dict(io.settings("scheduler")))
    except ValueProblem as problem:
        raise KedgeError(
            "settings.invalid", f"scheduler.{problem.key}: {problem.what}",
            where="the head's configuration", next_step=f"Valid: {problem.valid}",
        ) from None  # fmt: skip
    assert isinstance(checked, dict)
    return checked


def driver_of(settings: Mapping[str, Value], io: Io) -> Driver | None:
    """The driver that the settings choose; None for a site without a scheduler."""
    if settings["driver"] == "none":
        return None
    prefix = settings.get("command_prefix")
    words = [str(word) for word in prefix] if isinstance(prefix, list) else []
    commands = Commands(str(settings.get("conf") or ""), words)
    url = settings.get("url")
    if not isinstance(url, str):
        return commands
    name = str(settings.get("secret") or "slurm")
    user = io.secret(name).get("username", "root")
    version = settings.get("api_version")
    endpoint = Endpoint(url, user, lambda: _token(name, io), str(settings.get("ca") or ""))
    return Rest(endpoint, version if isinstance(version, int) else 0, commands)


def _token(name: str, io: Io) -> str:
    secret = io.secret(name)
    path = secret.get("token_file")
    if path:
        try:
            return Path(path).read_text().strip()
        except OSError as error:
            raise KedgeError(
                "scheduler.token", "the token's file cannot be read", where=path,
                why=error.strerror or str(error),
            ) from None  # fmt: skip
    if "token" not in secret:
        raise KedgeError(
            "scheduler.token", f"the secret {name!r} holds neither token nor token_file",
            next_step=f"kedge secret set {name}",
        )  # fmt: skip
    return secret["token"].strip()
