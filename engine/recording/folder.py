"""The folder with recordings: their names, and which of them must go. No threads."""

import hashlib
import logging
import re
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

SUFFIX = ".cberl-recording"

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class RecordingLimits:
    """Older recordings are deleted, and the oldest of more than `max_bytes` in all."""

    max_bytes: int
    max_age_s: float


def file_name(conversation: str, began_unix_s: float) -> str:
    """Readable where the name allows it, and unique for the conversation and the microsecond."""
    readable = re.sub(r"[^A-Za-z0-9-]", "_", conversation)[:40]
    return f"{readable}.{_digest(conversation)}.{round(began_unix_s * 1e6)}{SUFFIX}"


def recordings_of(folder: Path, conversation: str) -> list[Path]:
    return sorted(folder.glob(f"*.{_digest(conversation)}.*{SUFFIX}"))


def all_recordings(folder: Path) -> list[Path]:
    """Oldest first."""
    return sorted(folder.glob(f"*{SUFFIX}"), key=lambda it: int(it.name.removesuffix(SUFFIX).rpartition(".")[2]))


def bytes_in(folder: Path) -> int:
    return sum(it.stat().st_size for it in all_recordings(folder))


def delete(paths: Collection[Path]) -> int:
    """How many were deleted. Raises OSError."""
    for path in paths:
        path.unlink(missing_ok=True)
    return len(paths)


def keep_within(
    folder: Path, limits: RecordingLimits, now_unix_s: float, open_files: Collection[Path], spare_bytes: int = 0
) -> None:
    """Delete what is beyond the limits, or leaves less than `spare_bytes`, but nothing that is being written.

    Raises OSError.
    """
    ended = [it for it in all_recordings(folder) if it not in open_files]
    old = [it for it in ended if it.stat().st_mtime < now_unix_s - limits.max_age_s]
    delete(old)
    too_many = bytes_in(folder) + spare_bytes - limits.max_bytes
    for path in (it for it in ended if it not in old):
        if too_many <= 0:
            return
        too_many -= path.stat().st_size
        delete([path])
        log.warning("the oldest recording was deleted, because all have more than record_mb: %s", path.name)


def _digest(conversation: str) -> str:
    return hashlib.sha256(conversation.encode(errors="surrogatepass")).hexdigest()[:16]
