"""Files that are read again when they change, by a thread: their disk, or the network it is on, may not answer."""

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

CHECK_S = 1.0
WAIT_S = 0.1  # for a check, which takes a millisecond where the disk answers

Versions = list[tuple[int, int] | None]


class WatchedFiles:
    """Call it before each use of what `read` reads from these files, and has read once. `read` may raise OSError."""

    def __init__(
        self, paths: Sequence[Path], read: Callable[[], None], now: Callable[[], float] = time.monotonic
    ) -> None:
        self._paths = paths
        self._read = read
        self._now = now
        self._checked_at = now()
        self._versions = self._find_versions()
        self._checking: threading.Thread | None = None

    def __call__(self) -> None:
        """Returns at once, or after WAIT_S where the disk does not answer. Calls `read` where a file has changed."""
        checking = self._checking is not None and self._checking.is_alive()
        if not checking and self._now() - self._checked_at >= CHECK_S:
            self._checked_at = self._now()
            self._checking = threading.Thread(target=self._check, name="watched file", daemon=True)
            self._checking.start()
            self._checking.join(WAIT_S)

    def _check(self) -> None:
        versions = self._find_versions()
        if versions != self._versions and None not in versions:
            try:
                self._read()
            except OSError:  # again at the next check
                return
            self._versions = versions

    def _find_versions(self) -> Versions:
        return [_version(path) for path in self._paths]


def _version(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
