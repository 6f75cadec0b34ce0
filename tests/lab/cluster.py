"""A whole cluster for tests: a lab of machines, images in its registry, and ``kedge serve`` in it.

Everything goes through what a user has: the ``kedge`` command, the site's folder, the lab's faults.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import yaml

from kedge.lab.description import Bmc, Description, Machine
from kedge.lab.lab import Lab

ROOT = Path(__file__).parents[2]
KEDGE = str(Path(sys.executable).parent / "kedge")
IMAGES = {"x86_64": "compute", "aarch64": "minimal-arm64"}
REGISTRY = "10.77.0.1:5000"
BOOT_TIMEOUT_S = 600.0

Row = dict[str, Any]

MACHINES = (
    Machine(name="n1", mac="52:54:00:77:00:01", bmc=Bmc(protocol="ipmi", address="10.78.0.11")),
    Machine(name="n2", mac="52:54:00:77:00:02", bmc=Bmc(protocol="redfish", address="10.78.0.12")),
    Machine(
        name="n3",
        firmware="uefi-http",
        mac="52:54:00:77:00:03",
        bmc=Bmc(protocol="ipmi", address="10.78.0.13"),
    ),
    Machine(
        name="n4",
        arch="aarch64",
        firmware="uefi",
        memory_mb=768,
        mac="52:54:00:77:00:04",
        bmc=Bmc(protocol="redfish", address="10.78.0.14"),
    ),
    Machine(
        name="stranger",
        memory_mb=256,
        mac="52:54:00:77:00:99",
        bmc=Bmc(protocol="ipmi", address="10.78.0.99"),
    ),
)


class Cluster:
    """One lab with one head. Use as a context manager: what it started ends with it."""

    def __init__(
        self,
        home: Path,
        machines: tuple[Machine, ...] = MACHINES,
        site: Path = ROOT / "examples/01-lab",
        *,
        serving: bool = True,
        images: Mapping[str, str] = IMAGES,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """``site`` is copied; without ``serving`` the head must be started. ``images`` by architecture,
        ``settings`` for the head's configuration besides what the lab needs."""
        self._images, self._settings = images, settings or {}
        self.home = home
        self.state = home / "state"
        self.site = home / "site"
        self.config = home / "kedge.yaml"
        self.lab = Lab(Description(name=f"c{os.getpid()}", machines=machines))
        self._template = site
        self._serving = serving
        self._serve: subprocess.Popen[Any] | None = None

    def __enter__(self) -> Cluster:
        try:
            self.lab.up()
            self._configure()
            for arch in sorted({machine.arch for machine in self.lab.description.machines}):
                self.push(self._images[arch], "1")
                self.kedge("layer0", "build", "--here", "--arch", arch, timeout_s=600)
            if self._serving:
                self.start()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the head, then the lab."""
        if self._serve is not None:
            self.stop()
        self.lab.down()

    # ---- what an administrator does

    def kedge(
        self, *words: str, check: bool = True, timeout_s: float = 120.0, stdin: str = ""
    ) -> subprocess.CompletedProcess[str]:
        """Run the ``kedge`` command, as on the head."""
        done = subprocess.run(
            [KEDGE, "--config", str(self.config), *words],
            capture_output=True,
            text=True,
            timeout=timeout_s,
            input=stdin,
            cwd=ROOT,
            check=False,
        )
        if check and done.returncode != 0:
            raise AssertionError(
                f"kedge {' '.join(words)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
            )
        return done

    def ask(self, *words: str) -> Any:
        """What a command says with ``-o json``."""
        return json.loads(self.kedge(*words, "-o", "json").stdout)

    def rows(self) -> dict[str, Row]:
        """``kedge status``, by node."""
        return {row["node"]: row for row in self.ask("status", "--each")}

    def node(self, name: str) -> Row:
        """``kedge node show``."""
        found: Row = self.ask("node", "show", name)
        return found

    def events(self, nodes: str, *, after: int = 0) -> list[Row]:
        """``kedge events`` behind one event."""
        found: list[Row] = self.ask("events", nodes, "--limit", "2000")
        return [event for event in found if event["seq"] > after]

    def last_event(self) -> int:
        """The number of the newest event of all."""
        found: list[Row] = self.ask("events", "--limit", "1")
        return int(found[-1]["seq"]) if found else 0

    def apply(self, *, check: bool = True) -> subprocess.CompletedProcess[str]:
        """``kedge apply`` of the site's folder."""
        return self.kedge("apply", "--yes", str(self.site), check=check)

    def edit(self, old: str, new: str) -> None:
        """Change the site's file, as with an editor."""
        file = self.site / "cluster.yaml"
        text = file.read_text()
        assert old in text
        file.write_text(text.replace(old, new))

    # ---- what a test needs

    def until(
        self, what: str, holds: Callable[[dict[str, Row]], bool], timeout_s: float = BOOT_TIMEOUT_S
    ) -> dict[str, Row]:
        """Look until it holds; says all that is known when it does not in time."""
        deadline = time.monotonic() + timeout_s
        while True:
            rows = self.rows()
            if holds(rows):
                return rows
            if time.monotonic() > deadline:
                raise AssertionError(f"not in {timeout_s:.0f} s: {what}\n{self.report(rows)}")
            time.sleep(3)

    def until_running(self, nodes: Iterable[str], timeout_s: float = BOOT_TIMEOUT_S) -> None:
        """Wait until these nodes run what they should."""
        names = list(nodes)
        self.until(
            f"{names} run their images",
            lambda rows: all(
                rows[n]["phase"] == "converged" and rows[n]["stage"] == "running" for n in names
            ),
            timeout_s,
        )

    def report(self, rows: dict[str, Row]) -> str:
        """The state of all, for a failed test."""
        lines = [json.dumps(row) for row in rows.values()]
        lines += [
            f"--- console of {name}\n{self.lab.console_text(name)[-1500:]}"
            for name, row in rows.items()
            if row["phase"] != "converged"
        ]
        lines += ["--- kedge serve", (self.home / "serve.log").read_text()[-3000:]]
        return "\n".join(lines)

    def boot_ids(self, nodes: Iterable[str]) -> dict[str, str]:
        """The kernel's boot id that each node's agent reports."""
        return {name: str(self.node(name)["facts"]["facts"]["boot_id"]) for name in nodes}

    # ---- the head

    def start(self) -> None:
        """Start ``kedge serve`` in the lab's network; returns when it answers."""
        log = (self.home / "serve.log").open("a")
        with log:
            self._serve = self.lab.popen(
                [KEDGE, "--config", str(self.config), "serve"], stdout=log, stderr=log
            )
        deadline = time.monotonic() + 60
        while self.kedge("status", check=False).returncode != 0:
            if self._serve.poll() is not None or time.monotonic() > deadline:
                raise AssertionError((self.home / "serve.log").read_text()[-3000:])
            time.sleep(0.3)

    def head_pid(self) -> int:
        """The process of ``kedge serve``."""
        assert self._serve is not None
        return self._serve.pid

    def stop(self, number: int = signal.SIGTERM) -> None:
        """End ``kedge serve``, in order or (SIGKILL) at once."""
        assert self._serve is not None
        self._serve.send_signal(number)
        self._serve.wait(30)
        self._serve = None

    def push(self, image: str, version: str, *, variant: str = "a") -> None:
        """Build an example image (kept from run to run) and push it to the lab's registry."""
        build = [str(ROOT / f"examples/images/build-{image}"), "--version", version]
        build += ["--variant", variant]
        subprocess.run(build, check=True, timeout=900, capture_output=True)
        certificates = self._certificates()
        access = [
            "--registry",
            REGISTRY,
            "--authfile",
            str(self._login),
            "--cert-dir",
            certificates,
        ]
        self.lab.exec([*build, *access], timeout_s=300)

    def copy_image(self, source: str, target: str) -> None:
        """Copy an image from this machine to the lab's registry, in skopeo's words."""
        access = ["--authfile", str(self._login), "--dest-cert-dir", self._certificates()]
        self.lab.exec(["skopeo", "copy", "--quiet", *access, source, target], timeout_s=300)

    @property
    def _login(self) -> Path:
        return self.lab.paths.run / "registry-auth.json"

    def _certificates(self) -> str:
        """A folder with the registry's authority, as skopeo wants it."""
        folder = self.home / "push"
        folder.mkdir(mode=0o700, exist_ok=True)
        shutil.copy(self.lab.paths.registry_ca, folder / "ca.crt")
        return str(folder)

    def _configure(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        access = {"credentials": "registry", "ca": str(self.lab.paths.registry_ca)}
        self.config.write_text(
            yaml.safe_dump(
                {
                    "state_dir": str(self.state),
                    "sync": {"heartbeat_s": 4},
                    "image": {"registries": {REGISTRY: access}},
                    **self._settings,
                }
            )
        )
        self.kedge("init", str(self.home), "--state-dir", str(self.state))
        secrets = self.state / "secrets.yaml"
        shutil.copyfile(self.lab.paths.secrets, secrets)
        secrets.chmod(0o600)
        shutil.rmtree(self.site, ignore_errors=True)
        shutil.copytree(self._template, self.site)
