"""The lab as a program uses it: bring it up, switch machines, read consoles, break things."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import Any

from kedge.lab import control, namespace, parsing, processes, status
from kedge.lab.bmc import Login
from kedge.lab.credentials import login
from kedge.lab.description import Description, load_saved
from kedge.lab.paths import RUN_ROOT, Paths, private
from kedge.lab.requirements import check, warnings
from kedge.lib.errors import KedgeError

START_TIMEOUT_S = 60.0
EXEC_GRACE_S = 5.0
Progress = Callable[[str], None]


def _silent(_: str) -> None:
    return


class Lab:
    """One lab, by its description; the object holds no state, so many may stand for one lab."""

    def __init__(self, description: Description) -> None:
        self.description = description
        self.name = description.name
        self.paths = Paths(description.name)

    @classmethod
    def from_file(cls, path: Path | str) -> Lab:
        """The lab that a YAML file describes."""
        return cls(parsing.load(Path(path)))

    @classmethod
    def running(cls, name: str | None = None) -> Lab:
        """The lab that is up: the one of that name, or the only one."""
        up = sorted(path.parent.name for path in RUN_ROOT.glob("*/description.json"))
        if name is None and len(up) == 1:
            name = up[0]
        if name is None or name not in up:
            which = f"there is no lab {name!r}" if name else "several labs are up"
            raise KedgeError(
                "lab.not_up" if name or not up else "lab.which",
                which if up or name else "no lab is up",
                next_step=f"Name one with --lab: {', '.join(up)}"
                if up
                else "Bring one up: kedge lab up FILE",
            )
        return cls(load_saved(Paths(name).description))

    @property
    def namespace(self) -> str:
        """The lab's network namespace."""
        return self.description.namespace

    # --- up and down

    def up(self, progress: Progress = _silent) -> None:
        """Start what does not run yet; raises `KedgeError`, leaving nothing, when it cannot."""
        check(self.description)
        with self._alone():
            fresh = not self.paths.description.exists()
            if not fresh:
                self._same_description()
            if not self._daemon_answers():
                for warning in warnings(self.description):
                    progress(f"warning: {warning}")
                progress(f"network namespace {self.namespace}")
                try:
                    self._start_daemon(progress)
                except (KedgeError, KeyboardInterrupt):
                    if fresh:
                        self._end_everything()
                    raise

    def down(self, progress: Progress = _silent) -> None:
        """End all that belongs to the lab, and nothing else; safe to repeat."""
        with self._alone():
            self._end_everything(progress)

    def _same_description(self) -> None:
        if load_saved(self.paths.description) != self.description:
            raise KedgeError(
                "lab.differs",
                f"the lab {self.name} is up with another description",
                next_step="End it first: kedge lab down",
            )

    def _daemon_answers(self) -> bool:
        try:
            control.ask(self.paths.socket, "ready", timeout_s=START_TIMEOUT_S)
        except control.NoDaemon:
            return False
        return True

    def _start_daemon(self, progress: Progress) -> None:
        processes.end(processes.find(self.name, "daemon").values(), 1.0)
        private(self.paths.run)
        self.description.save(self.paths.description)
        namespace.create(self.namespace)
        with self.paths.log.open("ab") as output:
            daemon = subprocess.Popen(
                [sys.executable, "-m", "kedge.lab.daemon", self.name],
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=processes.mark(self.name, "daemon"),
                cwd="/",
                start_new_session=True,
            )
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and daemon.poll() is None:
            try:
                control.ask(
                    self.paths.socket, "ready", timeout_s=START_TIMEOUT_S, progress=progress
                )
            except control.NoDaemon:
                time.sleep(0.05)
                continue
            daemon.returncode = 0  # it lives on without us; no warning about a lost child
            return
        lines = self.paths.log.read_text(errors="replace").strip().splitlines()
        raise KedgeError(
            "lab.daemon_failed",
            "the lab's daemon did not start",
            why=lines[-1] if lines else "it said nothing",
            next_step="If another lab was ended badly: kedge lab down --lab NAME",
        )

    def _end_everything(self, progress: Progress = _silent) -> None:
        ancestors = _ancestors()
        for _ in range(5):  # what is being started while we look is found by the next look
            found = processes.find(self.name)
            mine = {role: p for role, p in found.items() if p.pid not in ancestors}
            if not mine:
                break
            progress(f"ending {', '.join(sorted(mine))}")
            # What runs inside first, since it would miss its machines; then the daemon, which
            # would start servers again; then machines, as a power cut does; then all others.
            processes.end([p for role, p in mine.items() if role.startswith("exec")], EXEC_GRACE_S)
            processes.end([p for role, p in mine.items() if role.startswith("daemon")], 3.0)
            processes.end([p for role, p in mine.items() if role.startswith("machine-")], 0.0)
            processes.end(mine.values(), 2.0)
        progress(f"removing the namespace {self.namespace}")
        namespace.remove(self.namespace)
        for directory in (self.paths.run, self.paths.bulk):
            shutil.rmtree(directory, ignore_errors=True)
        with contextlib.suppress(OSError):
            self.paths.bulk.parent.rmdir()  # kept while another lab has something in it

    @contextlib.contextmanager
    def _alone(self) -> Generator[None]:
        """Only one up or down at a time on this machine."""
        descriptor = os.open(private(RUN_ROOT), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    # --- machines

    def status(self) -> dict[str, Any]:
        """What runs: see `kedge.lab.status`."""
        return status.read(self.description)

    def power(self, name: str) -> str:
        """``on`` or ``off``, read from the machine's process."""
        self.require(name)
        return "on" if processes.find(self.name, f"machine-{name}") else "off"

    def switch(self, name: str, to: str) -> None:
        """Press the machine's own button (not its BMC): on, off (power cut) or soft (ACPI)."""
        self._ask("power", machine=name, to=to)

    def set_next_boot(self, name: str, device: str) -> None:
        """The device of the next power-on: none, pxe or disk."""
        self._ask("next-boot", machine=name, device=device)

    def kill(self, name: str) -> None:
        """SIGKILL the machine's QEMU behind everybody's back, the daemon's too."""
        self.require(name)
        process = processes.find(self.name, f"machine-{name}").get(f"machine-{name}")
        if process is None or not process.send(signal.SIGKILL):
            raise KedgeError("lab.not_on", "the machine is off", where=name)

    def fault(self, name: str, kind: str, value: str | float | None = None) -> None:
        """kill, bmc-hang, bmc-wrong-password, drop PERCENT, slow RATE (2mbit), or clear."""
        if kind == "kill" and value is None:
            self.kill(name)
            return
        text = None if value is None else str(value)
        self._ask("fault", machine=name, kind=kind, value=text)

    def console_path(self, name: str) -> Path:
        """The file with everything the machine wrote to its serial console."""
        self.require(name)
        return self.paths.console(name)

    def console_text(self, name: str) -> str:
        """The console so far, over all boots; empty before the first."""
        path = self.console_path(name)
        return path.read_text(errors="replace") if path.exists() else ""

    def require(self, name: str) -> None:
        """Refuse a name that is no machine of this lab."""
        if self.description.machine(name) is None:
            names = ", ".join(machine.name for machine in self.description.machines)
            raise KedgeError(
                "lab.no_machine",
                f"there is no machine {name!r}",
                next_step=f"Machines of this lab: {names}",
            )

    def disk_path(self, name: str, number: int = 0) -> Path:
        """The raw image of one of the machine's disks; made at its first power-on."""
        self.require(name)
        return self.paths.disk(name, number)

    # --- inside

    def login(self, name: str) -> Login:
        """The credentials ``bmc`` or ``registry`` of this lab."""
        return login(self.paths.secrets, name)

    def popen(self, command: Sequence[str], **options: Any) -> subprocess.Popen[Any]:
        """Start a command inside the lab's network namespace; `down` ends it if it still runs."""
        environment = {**(options.pop("env", None) or os.environ), **self.exec_mark()}
        entry = ["nsenter", f"--net={namespace.path_of(self.namespace)}", "--", *command]
        return subprocess.Popen(entry, env=environment, **options)

    def exec(
        self, command: Sequence[str], *, timeout_s: float = 60.0, check: bool = True, **options: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside the namespace and return its text output (as `subprocess.run`)."""
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        feed = options.pop("input", None)
        if feed is not None:
            options["stdin"] = subprocess.PIPE
        with self.popen(command, **{**pipes, **options}) as child:
            try:
                out, err = child.communicate(feed, timeout=timeout_s)
            except BaseException:
                child.kill()
                raise
        done = subprocess.CompletedProcess(list(command), child.returncode, out, err)
        if check:
            done.check_returncode()
        return done

    def exec_mark(self) -> dict[str, str]:
        """The environment variable by which `down` knows what was started inside."""
        return {processes.MARK: f"{self.name}/exec"}

    def _ask(self, op: str, **arguments: Any) -> Any:
        try:
            return control.ask(self.paths.socket, op, **arguments)
        except control.NoDaemon as error:
            up = self.paths.description.exists()
            raise KedgeError(
                "lab.no_daemon" if up else "lab.not_up",
                "the lab's daemon is not running" if up else f"the lab {self.name} is not up",
                next_step="Start it: kedge lab up FILE",
            ) from error


def _ancestors() -> set[int]:
    """This process and all above it."""
    found: set[int] = set()
    pid = os.getpid()
    while pid > 0 and pid not in found:
        found.add(pid)
        try:
            stat = Path(f"/proc/{pid}/stat").read_text()
        except OSError:
            break
        pid = int(stat.rpartition(")")[2].split()[1])
    return found
