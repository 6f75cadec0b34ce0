"""Running one duty, in its own forked process: fetch its file, verify it, load it, call it.

The agent never imports this; a duty's process does, and gives all memory back when it ends.
"""

from __future__ import annotations

import contextlib
import fcntl
import json
import marshal
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from types import CodeType
from typing import Any, cast

from kedge.agent.fetch import Wanted, fetch
from kedge.agent.place import RUNNING, Place
from kedge.agent.process import Tell
from kedge.agent.travelling import REPORT_MAX_BYTES, Declared
from kedge.lib.errors import KedgeError

_FETCH_S = 60.0
_OUTPUT_MAX_BYTES = 65_536
_TEXT_MAX = 500
_PLACE_AGAIN = "Have the head place it again: kedge module reload"
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class Here:
    """What a duty is given: where it runs, and what is configured of its module on this node."""

    def __init__(self, place: Place, declared: Declared, tell: Tell) -> None:
        self._place, self._tell = place, tell
        self.node: str = place.boot.node
        self.stage: str = place.stage
        self.root: Path = Path(place.image_root)
        """The root of the node's image, as this process sees it."""
        self.configured: Mapping[str, Any] = declared.configured
        """The configured values of the module's variables, by full name; without secrets."""
        self.folder: Path = _folder(place) / f"{declared.name}.d"
        """A folder of the duty's own, in memory, for what it wants to remember until the next boot."""
        self.folder.mkdir(mode=0o700, exist_ok=True)

    def tell(self, what: str, share: float = 0.0) -> None:
        """Say how far an order has come."""
        self._tell({"progress": {"what": str(what)[:_TEXT_MAX], "share": share}})

    def run(self, *command: str, timeout_s: float = 30.0) -> tuple[int, str]:
        """Run a program of the node's image, as root of it; its exit code and the beginning of what it
        printed (64 KiB). Raises `TimeoutError`, and `OSError` where there is no such program."""
        return _run_program(self._place, command, timeout_s)


def observe(place: Place, declared: Declared, tell: Tell) -> None:
    """Tell ``{"values": {...}}`` or ``{"error": {...}}``."""
    _alone()
    os.nice(10)
    with _Guard(declared):
        answer = _load(place, declared)["observe"](Here(place, declared, tell))
        text = json.dumps(answer, allow_nan=False)
    if not isinstance(answer, dict):
        raise _failure(declared, "observe returned no mapping of variables to values")
    if len(text) > REPORT_MAX_BYTES:
        raise _failure(declared, "reports too much", f"{len(text)} bytes of {REPORT_MAX_BYTES}")
    tell({"values": cast("dict[str, Any]", answer)})


def carry_out(
    place: Place, declared: Declared, mutation: str, args: dict[str, Any], tell: Tell
) -> dict[str, Any]:
    """Do an order; what the duty returns is of no account. Raises `KedgeError`."""
    _alone()
    with _Guard(declared):
        _load(place, declared)["carry_out"](Here(place, declared, tell), mutation, args)
    return {}


def _alone() -> None:
    """Be the first of a group of processes, so that all that a duty starts can be ended with it; and be
    the first to go when the node's memory runs out."""
    os.setsid()
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000")


class _Guard:
    """A duty may raise whatever it likes: it becomes the reason that people read."""

    def __init__(self, declared: Declared) -> None:
        self._declared = declared

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, problem: BaseException | None, trace: object) -> None:
        if isinstance(problem, Exception) and not isinstance(problem, KedgeError):
            text = str(problem) or type(problem).__name__
            raise _failure(self._declared, text[:_TEXT_MAX], type(problem).__name__) from problem


def _failure(declared: Declared, what: str, why: str = "") -> KedgeError:
    return KedgeError("duty.failed", what, where=declared.name, why=why)


def _folder(place: Place) -> Path:
    folder = place.run / "kedge" / "duties"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return folder


def _load(place: Place, declared: Declared) -> dict[str, Any]:
    """The names that the duty's file defines, its content verified; compiled at its first use."""
    path = _folder(place) / declared.digest.removeprefix("sha256:")
    if not path.name.isalnum():
        raise _failure(declared, "its digest is not one")
    wanted = Wanted(declared.digest, declared.size_bytes, "duty", "a duty's file", _PLACE_AGAIN)
    with path.with_suffix(".lock").open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # an order of this duty may fetch it at the same time
        fetch(place.boot.url, wanted, path, lambda size: None, give_up_s=_FETCH_S)
        code = _compiled(declared, path)
    names: dict[str, Any] = {"__name__": f"kedge_duty_{declared.name.replace('.', '_')}"}
    exec(code, names)
    return names


def _compiled(declared: Declared, path: Path) -> CodeType:
    compiled = path.with_suffix(f".{sys.implementation.cache_tag}")
    code: CodeType | None = None
    with contextlib.suppress(OSError, ValueError, EOFError, TypeError):
        code = marshal.loads(compiled.read_bytes())
    if code is None:
        code = compile(path.read_bytes(), f"<duty {declared.name}>", "exec")
        draft = compiled.with_suffix(".new")
        draft.write_bytes(marshal.dumps(code))
        draft.replace(compiled)
    return code


def _run_program(place: Place, command: tuple[str, ...], timeout_s: float) -> tuple[int, str]:
    import selectors
    import subprocess

    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={"PATH": _PATH, "LC_ALL": "C.UTF-8"},
        preexec_fn=_enter_image if place.stage == RUNNING else None,
    )
    assert process.stdout is not None
    output, until = b"", time.monotonic() + timeout_s
    with process.stdout as printed, selectors.DefaultSelector() as selector:
        selector.register(printed, selectors.EVENT_READ)
        while True:
            left_s = until - time.monotonic()
            if left_s <= 0 or not selector.select(left_s):
                process.kill()
                process.wait()
                raise TimeoutError(f"{command[0]} did not end within {timeout_s:g} s")
            piece = os.read(printed.fileno(), 65_536)
            if not piece:
                break
            output = (output + piece)[:_OUTPUT_MAX_BYTES]
    try:
        code = process.wait(max(0.1, until - time.monotonic()))
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise TimeoutError(f"{command[0]} did not end within {timeout_s:g} s") from None
    return code, output.decode(errors="replace")


def _enter_image() -> None:
    """See what process 1 sees, in a running image; where that is the same already, nothing."""
    from kedge.agent.syscalls import enter_mount_namespace

    if os.readlink("/proc/1/ns/mnt") != os.readlink("/proc/self/ns/mnt"):  # noqa: PTH115
        enter_mount_namespace(1)
        os.chdir("/")
