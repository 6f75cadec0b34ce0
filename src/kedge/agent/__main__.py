"""Run the agent: ``start-agent --stage layer0|running`` (see `kedge.agent.start`)."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from pathlib import Path

from kedge.agent.agent import Agent
from kedge.agent.boot_arguments import parse_command_line
from kedge.agent.handover import is_prepared
from kedge.agent.keeping import Keeping
from kedge.agent.living_on import live_on
from kedge.agent.place import LAYER0, RUNNING, Place
from kedge.lib.errors import KedgeError

_LOG_MAX_BYTES = 1 << 20


def _say(text: str) -> None:
    print(f"kedge [{time.clock_gettime(time.CLOCK_BOOTTIME):.2f}]: {text}", flush=True)


def _bound_log(path: Path) -> None:
    """Start the log over when it has grown: it lies in memory."""
    with contextlib.suppress(OSError):
        if path.stat().st_size > _LOG_MAX_BYTES:
            os.truncate(path, 0)


def main() -> int:
    """Run one stage; 0 when it ended as it should."""
    match sys.argv[1:]:  # without argparse, which takes a tenth of the start
        case ["--stage", (("layer0" | "running") as stage)]:
            pass
        case _:
            print(f"usage: start-agent --stage {LAYER0}|{RUNNING}", file=sys.stderr)
            return 64
    os.umask(0o022)
    run = Path("/run")
    _bound_log(run / "kedge" / "agent.log")
    try:
        boot = parse_command_line(Path("/proc/cmdline").read_text())
        place = Place(stage, boot, Keeping(run / "kedge" / "agent"), run)
        agent = Agent(place, _say)
        code = agent.run()
        if code or stage == RUNNING or not is_prepared(run):
            return code
        if not live_on(run, place.process_1):
            # The child goes on with all there is; tidying up would only keep the image's init waiting.
            os._exit(0)
        return Agent(place._replace(stage=RUNNING), _say, up=agent.up).run()
    except KedgeError as problem:
        _say(str(problem))
        return 1


if __name__ == "__main__":
    sys.exit(main())
