"""``kedge secret``: credentials that a site names, in a file that only its owner can read.

Values come from a prompt or from stdin, never from the command line, where others could see them.
"""

from __future__ import annotations

import os
import re
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

import click

from kedge.cli.output import say, show
from kedge.cli.session import output_option, shared
from kedge.lib.errors import KedgeError

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")
KEY = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,62}")
SHOWN = ("username", "user")
"""Keys whose values are echoed while they are typed."""


@click.group()
def secret() -> None:
    """Store credentials that the site names."""


def _path() -> Path:
    from kedge.master.process.settings import read_settings

    return read_settings(shared().config).state_dir / "secrets.yaml"


def _read(path: Path) -> dict[str, dict[str, str]]:
    from kedge.master.process.secrets import parse_secrets

    try:
        return parse_secrets(path.read_text(), str(path))
    except FileNotFoundError:
        return {}
    except (OSError, UnicodeDecodeError) as error:
        raise KedgeError(
            "secret.unreadable", "cannot read the secrets", where=str(path), why=_why(error),
            next_step="Run the command as the user that runs kedge serve (sudo kedge ...)",
        ) from None  # fmt: skip


def _why(error: OSError | UnicodeDecodeError) -> str:
    return error.strerror or "" if isinstance(error, OSError) else "it is not text"


def write_secrets(path: Path, secrets: Mapping[str, Mapping[str, str]]) -> None:
    """Replace the file as a whole, readable by its owner only at every moment."""
    import yaml

    text = "# Written by kedge secret set. Only its owner may read it.\n"
    text += yaml.safe_dump({name: dict(entry) for name, entry in secrets.items()})
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=".secrets-")
    except OSError as error:
        raise KedgeError(
            "secret.unwritable", "cannot write the secrets", where=str(path), why=_why(error)
        ) from None
    draft = Path(name)
    try:
        with os.fdopen(descriptor, "w") as file:  # mkstemp makes it 0600
            file.write(text)
            file.flush()
            os.fsync(descriptor)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


@secret.command("set")
@click.argument("name")
@click.argument("keys", nargs=-1)
@click.option("--stdin", is_flag=True, help="Read 'key: value' lines from standard input.")
def set_(name: str, keys: tuple[str, ...], stdin: bool) -> None:
    """Store the secret NAME: asks for each of KEYS (default: username and password).

    Without a terminal the values are read from standard input as 'key: value' lines.

    \b
      kedge secret set bmc
      kedge secret set slurm username token_file < slurm.txt
    """
    if not NAME.fullmatch(name):
        raise click.UsageError(f"{name!r} is no name for a secret (letters, digits, . _ -)")
    for key in keys:
        if "=" in key:
            raise click.UsageError(
                f"give only the key {key.partition('=')[0]!r}: a value on the command line could be "
                "seen by others. It is asked for, or read from standard input"
            )
        if not KEY.fullmatch(key):
            raise click.UsageError(f"{key!r} is no name for a key")
    path = _path()
    secrets = _read(path)
    if stdin or not sys.stdin.isatty():
        entry = _from_stdin(keys)
    else:
        entry = {key: _prompt(key) for key in keys or ("username", "password")}
    secrets[name] = {**secrets.get(name, {}), **entry}
    write_secrets(path, secrets)
    say(f"{name}: stored {', '.join(sorted(entry))} in {path}")


def _prompt(key: str) -> str:
    hidden = key not in SHOWN
    return str(click.prompt(key, hide_input=hidden, confirmation_prompt=hidden, err=True))


def _from_stdin(keys: tuple[str, ...]) -> dict[str, str]:
    from kedge.cli.values import parse_secret_lines

    entry = parse_secret_lines(sys.stdin.read(1_000_000))
    missing = [key for key in keys if key not in entry]
    if missing or not entry:
        raise KedgeError(
            "secret.stdin",
            f"standard input has no line for {', '.join(missing) or 'any key'}",
            next_step="Write lines like: password: ...",
        )
    return entry


@secret.command("remove")
@click.argument("name")
def remove(name: str) -> None:
    """Remove the secret NAME."""
    path = _path()
    secrets = _read(path)
    if name not in secrets:
        raise KedgeError(
            "secret.missing", f"there is no secret named {name!r}", where=str(path),
            next_step="kedge secret list",
        )  # fmt: skip
    del secrets[name]
    write_secrets(path, secrets)
    say(f"{name}: removed")


@secret.command("list")
@output_option
def list_(output: str) -> None:
    """List the names of secrets and of their keys, never a value."""
    rows = [{"name": name, "keys": sorted(entry)} for name, entry in sorted(_read(_path()).items())]

    def drawn():
        from kedge.cli.render import records_table

        found = [{"name": row["name"], "keys": ", ".join(row["keys"])} for row in rows]
        return [records_table(found, ["name", "keys"])] if rows else ["No secret is stored yet."]

    show(rows, output, drawn)
