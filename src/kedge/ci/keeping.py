"""Where runs are kept: a folder in the repository, one folder a run, its status in one file."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from kedge.lib.errors import KedgeError

FOLDER = "kedge-ci"
MOST_RUNS = 200


@dataclass(slots=True)
class StepStatus:
    """How a step stands: to come, running, passed, failed; ``log`` is a file."""

    name: str
    state: str = "to come"
    seconds: float = 0.0
    why: str = ""
    log: str = ""


@dataclass(slots=True)
class Status:
    """How a run stands: *waiting* for the one before it, *running*, *passed*, *failed*, *superseded* by
    a later push, or *lost* (its process ended before it did). Times are in seconds since the epoch."""

    run: int
    commit: str
    ref: str
    state: str = "waiting"
    why: str = ""
    release: str = ""
    rollout: str = ""
    began: float = 0.0
    ended: float = 0.0
    pid: int = 0
    steps: list[StepStatus] = field(default_factory=list[StepStatus])


class Kept:
    """The runs of one repository."""

    def __init__(self, repository: Path) -> None:
        self.folder = repository / FOLDER

    def new(self, commit: str, ref: str) -> Status:
        """A run that begins; the oldest ones beyond `MOST_RUNS` are forgotten."""
        runs = self.folder / "runs"
        runs.mkdir(parents=True, exist_ok=True)
        number = max(self.numbers(), default=0)
        while True:
            number += 1
            try:
                self.place(number).mkdir()
                break
            except FileExistsError:
                continue
        for old in self.numbers()[:-MOST_RUNS]:
            _remove(self.place(old))
        status = Status(number, commit, ref, pid=os.getpid())
        self.save(status)
        return status

    def numbers(self) -> list[int]:
        """All runs, the oldest first."""
        runs = self.folder / "runs"
        if not runs.is_dir():
            return []
        return sorted(int(path.name) for path in runs.iterdir() if path.name.isdecimal())

    def place(self, run: int) -> Path:
        """The folder of a run."""
        return self.folder / "runs" / str(run)

    def save(self, status: Status) -> None:
        """Keep how a run stands, in one step."""
        path = self.place(status.run) / "status.json"
        draft = path.with_suffix(".new")
        draft.write_bytes(msgspec.json.encode(status))
        draft.replace(path)

    def status(self, run: int) -> Status:
        """How a run stands; raises `KedgeError` where there is none."""
        try:
            found = msgspec.json.decode((self.place(run) / "status.json").read_bytes(), type=Status)
        except (OSError, msgspec.DecodeError):
            raise KedgeError(
                "ci.unknown", f"there is no run {run}", where=str(self.folder),
                next_step="See: kedge ci status REPOSITORY",
            ) from None  # fmt: skip
        if found.state in ("waiting", "running") and not _lives(found.pid):
            found.state, found.why = "lost", "its process ended before it did"
        return found

    def every(self) -> list[Status]:
        """All runs, the oldest first."""
        return [self.status(number) for number in self.numbers()]


def _lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)
