"""Speaks to Slurm with its own commands: ``scontrol`` and ``squeue`` with ``--json``, no shell between."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence

from kedge.lib import nodeset
from kedge.lib.errors import KedgeError
from kedge.modules.scheduler.driver import Cluster
from kedge.modules.scheduler.slurm_parse import cluster, decode

COMMAND_S = 20.0
SHOWS_NODES = (23, 2)
"""Since this version ``scontrol show`` knows ``--json``; before it, ``sinfo`` says the same."""

SAFE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"}


class Commands:
    """A driver by commands. ``conf`` is a slurm.conf other than the usual one, ``prefix`` what comes
    before each command (``ssh``, ``nsenter``)."""

    def __init__(self, conf: str = "", prefix: Sequence[str] = ()) -> None:
        self._environment = {**SAFE, **({"SLURM_CONF": conf} if conf else {})}
        self._prefix = tuple(prefix)
        self._version: tuple[int, int] = (0, 0)

    def read(self) -> Cluster:
        """Three commands, however many nodes there are."""
        if self._version < SHOWS_NODES and self._read_version() < SHOWS_NODES:
            nodes = decode(self._run("sinfo", "--json"), "nodes")
            return cluster(nodes, decode(self._run("squeue", "--json"), "jobs"))
        shown = ("scontrol", "--json", "show")
        return cluster(
            decode(self._run(*shown, "nodes"), "nodes"),
            decode(self._run("squeue", "--json"), "jobs"),
            decode(self._run(*shown, "reservations"), "reservations"),
        )

    def _read_version(self) -> tuple[int, int]:
        found = re.search(r"(\d+)\.(\d+)", self._run("scontrol", "--version"))
        self._version = (int(found[1]), int(found[2])) if found else (0, 0)
        return self._version

    def drain(self, nodes: Sequence[str], reason: str) -> None:
        """See `Driver`."""
        self._update(nodes, "state=DRAIN", f"reason={reason}")

    def resume(self, nodes: Sequence[str]) -> None:
        """See `Driver`."""
        self._update(nodes, "state=RESUME")

    def requeue(self, jobs: Sequence[str]) -> None:
        """See `Driver`."""
        self._run("scontrol", "requeue", ",".join(jobs))

    def carry(self, nodes: Sequence[str], features: Sequence[str]) -> None:
        """See `Driver`."""
        offered = ",".join(features)
        self._update(nodes, f"features={offered}", f"activefeatures={offered}")

    def _update(self, nodes: Sequence[str], *what: str) -> None:
        self._run("scontrol", "update", f"nodename={nodeset.fold(nodes)}", *what)

    def _run(self, *command: str) -> str:
        words = [*self._prefix, *command]
        try:
            done = subprocess.run(
                words, capture_output=True, timeout=COMMAND_S, check=False, env=self._environment,
                stdin=subprocess.DEVNULL,
            )  # fmt: skip
        except FileNotFoundError:
            raise KedgeError(
                "scheduler.no_command", f"there is no command {words[0]}",
                next_step="Install Slurm's commands here (slurm-client), or name a slurmrestd",
            ) from None  # fmt: skip
        except subprocess.TimeoutExpired:
            raise silent(command[0], f"no answer within {COMMAND_S:g} s") from None
        except OSError as error:
            raise silent(command[0], os.strerror(error.errno or 0)) from None
        if done.returncode != 0:
            said = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise silent(command[0], said.splitlines()[-1][:300] if said else "no reason given")
        return done.stdout.decode(errors="replace")


def silent(who: str, why: str) -> KedgeError:
    """Slurm cannot be asked, or did not do what it was told."""
    return KedgeError(
        "scheduler.silent", "Slurm cannot be asked or refused", where=who, why=why,
        next_step="Every node counts as busy until it answers. See: scontrol ping",
    )  # fmt: skip
