"""All of Slurm's servers in the lab's network: munged, mariadbd, slurmdbd, slurmctld and slurmrestd.

They are of one Debian release, in a root of their own (`slurm_root`); the nodes have slurmd of the same.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

from cluster import Cluster
from slurm_root import write_inside

HEAD = "10.77.0.1"
REST = f"{HEAD}:6820"
KEY = "a key of this test alone, which nobody else uses for anything"
BEGIN_S, END_S = 30.0, 20.0

CONF = """\
AuthInfo=socket=/srv/munge.socket
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=/srv/jwt.key
SlurmctldPidFile=/srv/slurmctld.pid
SlurmctldLogFile=/srv/slurmctld.log
AccountingStorageType=accounting_storage/slurmdbd
AccountingStorageHost=localhost
AccountingStoragePass=/srv/munge.socket
SchedulerParameters=sched_interval=2,bf_interval=5
RebootProgram=/srv/reboot
SlurmctldParameters=reboot_from_controller
ResumeTimeout=600
DebugFlags=NO_CONF_HASH
"""
DBD = """\
DbdHost=localhost
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=/srv/munge.socket
AuthAltTypes=auth/jwt
AuthAltParameters=jwt_key=/srv/jwt.key
StorageType=accounting_storage/mysql
StorageHost=127.0.0.1
StoragePort=13306
StorageUser=slurm
StoragePass=of-this-test-alone
StorageLoc=slurm_acct
LogFile=/srv/slurmdbd.log
PidFile=/srv/slurmdbd.pid
"""
GRANT = """\
CREATE DATABASE IF NOT EXISTS slurm_acct;
CREATE USER IF NOT EXISTS slurm@'127.0.0.1' IDENTIFIED BY 'of-this-test-alone';
CREATE USER IF NOT EXISTS slurm@localhost IDENTIFIED BY 'of-this-test-alone';
GRANT ALL ON slurm_acct.* TO slurm@'127.0.0.1';
GRANT ALL ON slurm_acct.* TO slurm@localhost;
"""
REBOOT = """\
#!/bin/sh
# slurmctld calls this with a list of nodes. As in docs/howto/use-slurm.md, but that the command lies outside
# of this root.
export KEDGE_API=http://{head}:8470 KEDGE_TOKEN_FILE={token}
echo "$(date +%T) $@" >>/srv/reboots
exec nsenter --target {pid} --mount --root -- {kedge} power cycle "$1" --yes >>/srv/reboots 2>&1
"""


def settings(folder: Path) -> dict[str, Any]:
    """What the head's configuration says of a scheduler whose controller has this folder."""
    scheduler = {
        "driver": "slurm", "url": f"http://{REST}", "secret": "slurm", "every_s": 2,
        "command_prefix": [str(folder / "inside")],
    }  # fmt: skip
    return {"modules": {"scheduler": scheduler}, "api": {"listen": f"{HEAD}:8470"}}


class Controller:
    """Slurm's servers. ``folder`` is this run's, and ``/srv`` for them."""

    def __init__(self, folder: Path, cluster: Cluster) -> None:
        self.folder, self.cluster = folder, cluster
        self.inside = str(folder / "inside")
        self._processes: list[subprocess.Popen[Any]] = []

    def start(self, kedge: str) -> None:
        """Start everything; returns when slurmctld answers, and a token lies in ``folder/token``."""
        self._write(kedge)
        self._start("munged", "--foreground", "--force", "--socket=/srv/munge.socket",
                    "--key-file=/srv/munge.key", "--pid-file=/srv/munge.pid",
                    "--seed-file=/srv/munge.seed", "--log-file=/srv/munge.log")  # fmt: skip
        self.run("mariadb-install-db", "--user=root", "--datadir=/srv/db", "--skip-test-db",
                 "--auth-root-authentication-method=normal", check=True)  # fmt: skip
        self._start("mariadbd", "--no-defaults", "--user=root", "--datadir=/srv/db",
                    "--socket=/srv/db.socket", "--bind-address=127.0.0.1", "--port=13306",
                    "--pid-file=/srv/db.pid", "--init-file=/srv/grant.sql",
                    "--innodb-buffer-pool-size=32M", "--innodb-lock-wait-timeout=900")  # fmt: skip
        self._until("test", "-S", "/srv/db.socket")
        self._start("slurmdbd", "-D")
        self._until("sacctmgr", "-n", "show", "cluster")
        self._start("slurmctld", "-D")
        self._until("scontrol", "show", "nodes")
        token = self.run("scontrol", "token", "lifespan=36000", check=True).partition("=")[2]
        file = self.folder / "token"
        file.touch(0o600)
        file.write_text(token)
        self._start("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "env",
                    "SLURM_JWT=daemon", "slurmrestd", "-a", "rest_auth/jwt", REST,
                    name="slurmrestd")  # fmt: skip
        time.sleep(1)
        self._check_alive()

    def _write(self, kedge: str) -> None:
        folder = self.folder
        (folder / "state").mkdir(parents=True)
        (folder / "db").mkdir()
        folder.chmod(0o755)
        write_inside(folder)
        text = (self.cluster.site / "slurm.conf").read_text()
        text = text.replace("/var/spool/slurmctld", "/srv/state")
        token = self.cluster.state / "api.token"
        reboot = REBOOT.format(head=HEAD, token=token, pid=os.getpid(), kedge=kedge)
        for name, content, mode in (
            ("slurm.conf", text + CONF, 0o644),
            ("slurmdbd.conf", DBD, 0o600),
            ("grant.sql", GRANT, 0o600),
            ("reboot", reboot, 0o755),
            ("munge.key", KEY, 0o400),
            ("jwt.key", os.urandom(24).hex(), 0o600),
        ):
            (folder / name).write_text(content)
            (folder / name).chmod(mode)

    def _start(self, *command: str, name: str = "") -> None:
        with (self.folder / f"{name or command[0]}.out").open("a") as log:
            self._processes.append(
                self.cluster.lab.popen([self.inside, *command], stdout=log, stderr=log)
            )

    def _until(self, *command: str) -> None:
        """Wait until a command of Slurm's succeeds."""
        end = time.monotonic() + BEGIN_S
        while True:
            done = self.cluster.lab.exec([self.inside, *command], check=False)
            if done.returncode == 0:
                return
            assert time.monotonic() < end, f"{command}: {done.stdout}{done.stderr}\n{self.said()}"
            self._check_alive()
            time.sleep(0.5)

    def _check_alive(self) -> None:
        for process in self._processes:
            assert process.poll() is None, f"{process.args}\n{self.said()}"

    def said(self) -> str:
        """The ends of all logs."""
        logs = sorted((*self.folder.glob("*.out"), *self.folder.glob("*.log")))
        return "\n".join(f"--- {log.name}\n{log.read_text()[-1500:]}" for log in logs)

    def run(self, *command: str, check: bool = False) -> str:
        """A command of Slurm's, in the lab's network; what it said."""
        done = self.cluster.lab.exec([self.inside, *command], check=False)
        assert not check or done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
        return (done.stdout + done.stderr).strip()

    def shown(self, node: str) -> str:
        """All that scontrol says of a node."""
        return self.run("scontrol", "-o", "show", "node", node)

    def accounted(self, *jobs: str) -> dict[str, str]:
        """How jobs ended, by the accounting's database."""
        said = self.run("sacct", "-n", "-X", "-P", "-o", "jobid,state", "-j", ",".join(jobs))
        return dict(line.split("|") for line in said.splitlines() if "|" in line)

    def close(self) -> None:
        """End all, the last that was started first, and forget what they wrote."""
        for process in self._processes[::-1]:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(END_S)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
