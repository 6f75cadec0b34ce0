"""A real Slurm of a test's own: munged, slurmctld, slurmrestd and several slurmd on one machine.

Start it inside a network namespace (`private_network`); everything lies in one folder, and ends with it.
``KEDGE_TEST_SLURM_ROOT`` names a root that holds another Slurm than this machine's (with /proc,
/dev and /sys mounted, and slurm-wlm-jwt-plugin in it).
"""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

NODES = 6
ROOT = os.environ.get("KEDGE_TEST_SLURM_ROOT", "")
NOTHING: Mapping[str, str] = {}
PROGRAMS = ("munged", "slurmctld", "slurmd", "slurmrestd", "scontrol", "squeue", "sbatch")

CONF = """\
ClusterName=lab
SlurmctldHost=localhost(127.0.0.1)
SlurmctldPort=16817
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
MpiDefault=none
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key={folder}/jwt.key
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd-%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd-%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=2,bf_interval=2
ReturnToService=1
SlurmdTimeout=8
KillWait=2
MailProg=/bin/true
RebootProgram={folder}/reboot
ResumeTimeout=60
SlurmctldParameters=reboot_from_controller
PartitionName=all Nodes=ALL Default=YES State=UP
"""


def can_run_slurm() -> bool:
    """Whether Slurm is installed here and this is root."""
    found = all(shutil.which(p, path=f"{ROOT}/usr/sbin:{ROOT}/usr/bin") for p in PROGRAMS)
    return os.geteuid() == 0 and found


class Slurm:
    """A running Slurm. ``conf`` is its slurm.conf as it sees it, ``url`` where its slurmrestd listens."""

    def __init__(
        self, folder: Path, nodes: int = NODES, more: str = "", files: Mapping[str, str] = NOTHING
    ) -> None:
        """``more`` lines for slurm.conf, and ``files`` that lie beside it."""
        self._more, self._files = more, files
        self.folder = folder
        self.inside = Path("/") / folder.relative_to(ROOT or "/")
        self.conf = self.inside / "slurm.conf"
        self.prefix = ("chroot", ROOT) if ROOT else ()
        self.url = "http://127.0.0.1:16820"
        self.names = [f"n{number}" for number in range(1, nodes + 1)]
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def environment(self) -> Mapping[str, str]:
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "SLURM_CONF": str(self.conf)}

    def run(self, *command: str) -> str:
        """A command of Slurm's; what it printed."""
        done = subprocess.run(
            [*self.prefix, *command], env=self.environment, capture_output=True, text=True,
            timeout=30, check=False,
        )  # fmt: skip
        assert done.returncode == 0, f"{command}: {done.stderr or done.stdout}"
        return done.stdout.strip()

    def submit(self, node: str, seconds: int, *options: str) -> str:
        """Start a job on a node; its number, once it runs."""
        wrap = f"--wrap=sleep {seconds}"
        words = ("sbatch", "--parsable", "-o", "/dev/null", "-D", "/", "-t", "5", *options)
        job = self.run(*words, "-w", node, wrap)
        until(lambda: "RUNNING" in self.run("squeue", "-h", "-j", job, "-o", "%T"), f"job {job}")
        return job

    def job(self, job: str) -> str:
        """The state of a job."""
        shown = self.run("scontrol", "-o", "show", "job", job)
        return shown.partition("JobState=")[2].partition(" ")[0]

    def shown(self, node: str) -> str:
        """All that scontrol says of a node."""
        return self.run("scontrol", "-o", "show", "node", node)

    def token(self) -> str:
        """A token for root."""
        return self.run("scontrol", "token", "lifespan=3600").partition("=")[2]

    # --- starting and stopping

    def start(self) -> None:
        """Start everything, and wait until all nodes are idle."""
        (self.folder / "state").mkdir()
        (self.folder / "munge.key").write_bytes(os.urandom(1024))
        (self.folder / "munge.key").chmod(0o400)
        (self.folder / "jwt.key").write_bytes(os.urandom(32))
        (self.folder / "jwt.key").chmod(0o600)
        program = self.folder / "reboot"
        program.write_text(f'#!/bin/sh\necho "$@" >> {self.inside}/rebooted\n')
        program.chmod(0o755)
        self._write_conf()
        self._start_munge()
        self._start("slurmctld", "slurmctld", "-D")
        for name in self.names:
            self.start_node(name)
        rest = pwd.getpwnam("nobody")
        self._start(
            "slurmrestd", "setpriv", f"--reuid={rest.pw_uid}", f"--regid={rest.pw_gid}",
            "--clear-groups", "slurmrestd", "-a", "rest_auth/jwt", *self._api(), "127.0.0.1:16820",
            SLURM_JWT="daemon",
        )  # fmt: skip
        until(lambda: self.run("sinfo", "-h", "-t", "idle", "-o", "%D") == str(len(self.names)),
              "all nodes to be idle", 40)  # fmt: skip

    def _api(self) -> tuple[str, ...]:
        """Without slurmdbd the parts of the API that need it must be left out."""
        version = self.run("scontrol", "--version")
        return ("-s", "openapi/v0.0.38") if "22.05" in version else ("-s", "openapi/slurmctld")

    def _write_conf(self) -> None:
        lines = CONF.format(folder=self.inside).splitlines()
        for number, name in enumerate(self.names):
            lines.append(
                f"NodeName={name} NodeHostname=localhost NodeAddr=127.0.0.1 Port={17001 + number} "
                "CPUs=1 RealMemory=100 Feature=fast,big"
            )
        conf = self.folder / "slurm.conf"
        conf.write_text("\n".join(lines) + "\n" + self._more)
        for name, text in self._files.items():
            (self.folder / name).write_text(text)
        conf.chmod(0o644)
        if "22.05" not in self.run("scontrol", "--version"):  # which would refuse it
            (self.folder / "cgroup.conf").write_text("CgroupPlugin=disabled\n")

    def _start_munge(self) -> None:
        folder = self.inside
        self._start(
            "munged", "munged", "--foreground", "--force", f"--socket={folder}/munge.socket",
            f"--key-file={folder}/munge.key", f"--pid-file={folder}/munge.pid",
            f"--seed-file={folder}/munge.seed", f"--log-file={folder}/munge.log",
        )  # fmt: skip
        until((self.folder / "munge.socket").exists, "munged")

    def start_node(self, name: str, *options: str) -> None:
        """Start a node's slurmd; with ``-b`` it says that the node was booted just now."""
        (self.folder / f"spool-{name}").mkdir(exist_ok=True)
        self._start(name, "slurmd", "-D", "-N", name, *options)

    def stop(self, name: str) -> None:
        """Stop one of the processes by its name (``slurmctld``, ``n3``)."""
        process = self.processes.pop(name)
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def start_controller(self) -> None:
        """Start slurmctld again, with what it saved."""
        self._start("slurmctld", "slurmctld", "-D")

    def _start(self, name: str, *command: str, **more: str) -> None:
        with (self.folder / f"{name}.out").open("ab") as out:
            self.processes[name] = subprocess.Popen(
                [*self.prefix, *command], env={**self.environment, **more}, stdout=out, stderr=out,
                stdin=subprocess.DEVNULL, cwd=self.folder, start_new_session=True,
            )  # fmt: skip

    def close(self) -> None:
        """End everything that was started."""
        for name in list(self.processes)[::-1]:
            if name != "munged":
                self.stop(name)
        if "munged" in self.processes:
            self.stop("munged")
        until(self._none_are_left, "the jobs' keepers to end")

    def _none_are_left(self) -> bool:
        """End what outlives slurmd: each job's slurmstepd, told by where it has its slurm.conf."""
        mark = f"SLURM_CONF={self.conf}".encode()
        left = [
            int(p.parent.name) for p in Path("/proc").glob("[0-9]*/environ") if _holds_mark(p, mark)
        ]
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        return not left


def _holds_mark(environ: Path, mark: bytes) -> bool:
    try:
        return mark in environ.read_bytes().split(b"\0")
    except OSError:  # it has ended
        return False


def until(true: object, what: str, most_s: float = 20.0) -> None:
    """Wait until ``true()``."""
    assert callable(true)
    end = time.monotonic() + most_s
    while not _holds(true):
        assert time.monotonic() < end, f"waited {most_s} s for {what}"
        time.sleep(0.1)


def _holds(true: object) -> bool:
    assert callable(true)
    try:
        return bool(true())
    except AssertionError:
        return False


@contextmanager
def slurm(
    nodes: int = NODES, more: str = "", files: Mapping[str, str] = NOTHING
) -> Iterator[Slurm]:
    """A running Slurm, in the namespace of this thread."""
    folder = Path(tempfile.mkdtemp(prefix="kedge-slurm-", dir=f"{ROOT}/tmp"))
    folder.chmod(0o711)
    cluster = Slurm(folder, nodes, more, files)
    try:
        cluster.start()
        yield cluster
    finally:
        cluster.close()
        shutil.rmtree(folder, ignore_errors=True)
