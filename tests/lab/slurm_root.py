"""A root with all of Slurm's servers of one Debian release, and the database that its accounting wants.

It stands for the machine of slurmctld. Built once (a minute), kept in a cache, and never written to: what
a run changes lies in a folder of its own, which is ``/srv`` inside.
"""

from __future__ import annotations

import fcntl
import shlex
import subprocess
from pathlib import Path

from kedge.modules.boot.layer0.packages import host_sources

SUITE = "trixie"
CACHE = Path("/var/cache/kedge-test/slurm-root-1")
PACKAGES = (
    "slurmctld", "slurmdbd", "slurmrestd", "slurm-client", "slurm-wlm-basic-plugins",
    "slurm-wlm-jwt-plugin", "slurm-wlm-mysql-plugin", "munge", "mariadb-server-core",
    "mariadb-client-core",
)  # fmt: skip
INSIDE = """\
#!/bin/sh
# inside COMMAND...: runs it in Slurm's root, where this folder is /srv
exec unshare --mount sh -c '
mount -t proc proc {root}/proc && mount --rbind /dev {root}/dev && mount --bind {folder} {root}/srv &&
exec chroot {root} env PATH=/usr/sbin:/usr/bin LC_ALL=C.UTF-8 SLURM_CONF=/srv/slurm.conf "$@"
' inside "$@"
"""


def slurm_root() -> Path:
    """The root of this machine's cache; made where it is not there yet."""
    root = CACHE / SUITE
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (CACHE / "done").exists():
            subprocess.run(["rm", "-rf", str(root)], check=True)
            command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=minbase"]
            command += [f"--include={','.join(PACKAGES)}", "--aptopt=Apt::Install-Recommends false"]
            subprocess.run(
                [*command, SUITE, str(root), *host_sources(SUITE)], check=True, timeout=900
            )
            (root / "etc/hosts").write_text("127.0.0.1 localhost\n")
            (CACHE / "done").touch()
    return root


def write_inside(folder: Path) -> Path:
    """A program that runs commands in the root, each in a mount namespace that ends with it."""
    program = folder / "inside"
    program.write_text(
        INSIDE.format(root=shlex.quote(str(slurm_root())), folder=shlex.quote(str(folder)))
    )
    program.chmod(0o755)
    return program
