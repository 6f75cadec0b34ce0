"""Takes one commit through its pipeline: steps, release, the beginning of a rollout."""

from __future__ import annotations

import asyncio
import fcntl
import io
import os
import tarfile
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from kedge.ci.description import FILE, Pipeline, Step, read_pipeline
from kedge.ci.git import commit_of, git, refuse_large, site_texts
from kedge.ci.keeping import Kept, Status, StepStatus
from kedge.client.client import Client
from kedge.lib.errors import KedgeError
from kedge.master.process.command import end

LOCK_LOOK_S = 1.0
TAIL = 400

Connect = Callable[[], Client]
Tell = Callable[[str], None]
Work = Callable[[StepStatus], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Push:
    """What is to be run: ``ref`` (a branch) of a bare repository, ``site`` the site's folder in it."""

    repository: Path
    ref: str
    site: str = ""

    @property
    def tree(self) -> str:
        """The site's folder as git names it, behind a commit and a colon."""
        return self.site.strip("/")


async def run(push: Push, commit: str, connect: Connect, tell: Tell) -> Status:
    """Run the pipeline of ``commit`` to its end, one at a time in a repository.

    A commit that is no longer the head of its branch when its turn comes is left to the later one.
    """
    kept = Kept(push.repository)
    status = kept.new(commit, push.ref)
    work = _Run(push, kept, status, connect, tell)
    try:
        async with _turn(kept.folder / "lock"):
            if commit_of(push.repository, push.ref) != commit:
                status.state, status.why = "superseded", "a later push came"
            else:
                await work.through()
    except KedgeError as error:
        status.state, status.why = "failed", str(error)
    except asyncio.CancelledError:
        status.state, status.why = "failed", "interrupted"
        raise
    finally:
        status.ended = time.time()
        kept.save(status)
        tell(f"run {status.run}: {status.state}{': ' + status.why if status.why else ''}")
    return status


@asynccontextmanager
async def _turn(path: Path) -> AsyncGenerator[None]:
    """Wait until no other run of the repository is under way."""
    with path.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                await asyncio.sleep(LOCK_LOOK_S)
        yield


class _Run:
    """One run."""

    def __init__(
        self, push: Push, kept: Kept, status: Status, connect: Connect, tell: Tell
    ) -> None:
        self.push = push
        self.kept = kept
        self.status = status
        self.connect = connect
        self.tell = tell
        self.place = kept.place(status.run)
        self.tree = self.place / "tree"

    async def through(self) -> None:
        status = self.status
        status.state, status.began = "running", time.time()
        repository, tree = self.push.repository, f"{status.commit}:{self.push.tree}"
        where = f"{repository} at {status.commit[:12]}"
        refuse_large(git(repository, "ls-tree", "-r", "-l", "-z", tree), where)
        raw = git(repository, "archive", "--format=tar", tree)
        files = site_texts(raw, where)
        pipeline = self.read(files)
        date = time.strftime("%Y.%m.%d", time.gmtime(status.began))
        status.release = pipeline.release_name(status.commit, date)
        status.rollout = pipeline.rollout
        status.steps = [StepStatus(step.name) for step in pipeline.steps]
        last = [*(["apply"] if pipeline.apply else []), "release"]
        last += ["rollout"] if pipeline.rollout else []
        status.steps += [StepStatus(name) for name in last]
        self.kept.save(status)
        with tarfile.open(fileobj=io.BytesIO(raw)) as archive:
            archive.extractall(self.tree, filter="data")
        for place, step in enumerate(pipeline.steps):
            await self.step(status.steps[place], self.command(step))
        for place, name in enumerate(last, len(pipeline.steps)):
            await self.step(status.steps[place], self.say(name, files))
        status.state = "passed"

    def read(self, files: dict[str, str]) -> Pipeline:
        if FILE not in files:
            raise KedgeError(
                "ci.description", f"the commit holds no {FILE}", where=self.push.tree or "its root",
                next_step="See docs/howto/continuous-delivery.md",
            )  # fmt: skip
        return read_pipeline(files[FILE])

    async def step(self, step: StepStatus, work: Work) -> None:
        """One step, and how it went."""
        step.state = "running"
        self.kept.save(self.status)
        self.tell(f"run {self.status.run}: {step.name}")
        began = time.monotonic()
        try:
            await work(step)
        except KedgeError as error:
            step.state, step.why = "failed", str(error)
            raise
        except asyncio.CancelledError:
            step.state, step.why = "failed", "interrupted"
            raise
        finally:
            step.seconds = round(time.monotonic() - began, 2)
        step.state = "passed"
        self.kept.save(self.status)

    def command(self, step: Step) -> Work:
        """A step that is the site's command."""

        async def work(status: StepStatus) -> None:
            log = self.place / f"{step.name}.log"
            status.log = str(log)
            environment = {
                **os.environ,
                "KEDGE_COMMIT": self.status.commit,
                "KEDGE_RELEASE": self.status.release,
                "KEDGE_RUN": str(self.status.run),
            }
            words = ("setpriv", "--pdeathsig", "KILL", "/bin/sh", "-c", step.run)
            with log.open("wb") as file:
                process = await asyncio.create_subprocess_exec(
                    *words, stdin=asyncio.subprocess.DEVNULL, stdout=file,
                    stderr=asyncio.subprocess.STDOUT, env=_clean(environment), cwd=self.tree,
                    start_new_session=True,
                )  # fmt: skip
            try:
                async with asyncio.timeout(step.deadline_s):
                    found = await process.wait()
            except TimeoutError:
                raise KedgeError(
                    "ci.late", f"step {step.name} did not end within {step.deadline_s:.0f} s",
                    where=str(log),
                ) from None  # fmt: skip
            finally:
                await end(process)
            if found != 0:
                raise KedgeError(
                    "ci.step", f"step {step.name} ended with status {found}", where=str(log),
                    why=_tail(log),
                )  # fmt: skip

        return work

    def say(self, what: str, files: dict[str, str]) -> Work:
        """A step that Kedge does."""

        async def work(status: StepStatus) -> None:
            async with self.connect() as client:
                if what == "apply":
                    await client.apply(files)
                elif what == "release":
                    await client.release_create(self.status.release, files, self.status.commit, {})
                else:
                    await client.rollout_start(self.status.rollout, self.status.release)

        return work


def _clean(environment: dict[str, str]) -> dict[str, str]:
    """Without what git tells its hooks: commands of the site must not work in the repository by it."""
    return {name: text for name, text in environment.items() if not name.startswith("GIT_")}


def _tail(log: Path) -> str:
    text = log.read_bytes()[-4 * TAIL :].decode(errors="replace").strip()
    return " / ".join(text.splitlines()[-4:])[-TAIL:]
