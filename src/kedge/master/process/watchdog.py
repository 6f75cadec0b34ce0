"""Who blocks the event loop: a thread looks whether it still turns, and if not, whose code it stands in.

All nodes share one loop, so a module that computes or waits in it delays everybody. It cannot be
stopped from outside, but it can be named: at once in the process's log, and in Kedge's when it is over.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import FrameType

log = logging.getLogger("kedge")

BEAT_S = 0.25
BLOCKED_S = 1.0

Named = tuple[str, str]
"""A module, and where in its code."""


class Watchdog:
    """``folders`` gives modules and where their code lies; ``note`` hears who blocked, and how."""

    def __init__(
        self, folders: Callable[[], dict[str, str]], note: Callable[[str, str, str], None]
    ) -> None:
        self._folders = folders
        self._note = note
        self._beat_at = time.monotonic()
        self._found: Named | None = None
        self._thread_id = threading.get_ident()
        self._ended = threading.Event()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Watch the running loop of this thread."""
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()
        self._beat()

    def close(self) -> None:
        """Watch no more."""
        self._ended.set()
        if self._timer is not None:
            self._timer.cancel()

    def _beat(self) -> None:
        now = time.monotonic()
        late_s, found = now - self._beat_at - BEAT_S, self._found
        self._beat_at, self._found = now, None
        if found is not None:
            self._note(found[0], "blocks", f"it held up everybody for {late_s:.1f} s at {found[1]}")
        self._timer = asyncio.get_running_loop().call_later(BEAT_S, self._beat)

    def _watch(self) -> None:
        while not self._ended.wait(BEAT_S):
            if time.monotonic() - self._beat_at < BLOCKED_S or self._found is not None:
                continue
            frame = sys._current_frames().get(self._thread_id)  # pyright: ignore[reportPrivateUsage]
            found = whose(frame, self._folders()) if frame is not None else None
            if found is not None:
                self._found = found
                log.error("module %s blocks the event loop at %s", *found)


def whose(frame: FrameType | None, folders: dict[str, str]) -> Named | None:
    """The innermost frame that lies in a module's code."""
    while frame is not None:
        file = frame.f_code.co_filename
        for module, folder in folders.items():
            if file == folder or file.startswith(f"{folder}/"):
                return module, f"{Path(file).name}:{frame.f_lineno}"
        frame = frame.f_back
    return None
