"""Where tests find real data and models, and how many threads they take."""

import logging
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

# Small networks gain nothing from threads, and busy threads of several processes slow each other many times over.
# Before torch is loaded; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Keys that commands make belong to the tests, not to the user who runs them.
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="cberl-tests-")


@pytest.fixture(autouse=True)
def _same_logging() -> Iterator[None]:
    """Commands that run inside the test process set levels, and filters of the root's handlers."""
    loggers = [logging.getLogger(name) for name in ("", "engine", "cberl", "uvicorn", "aioice", "aiortc")]
    levels = [logger.level for logger in loggers]
    filters = [(handler, list(handler.filters)) for handler in logging.getLogger().handlers]
    yield
    for logger, level in zip(loggers, levels, strict=True):
        logger.setLevel(level)
    for handler, before in filters:
        handler.filters[:] = before


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder with data and models beside the repository; tests that need it are skipped where it is absent."""
    folder = Path(os.environ.get("CBERL_SHARED", Path(__file__).parent.parent.parent / "shared")).resolve()
    if not folder.is_dir():
        pytest.skip(f"no data at {folder}: set CBERL_SHARED")
    return folder


@pytest.fixture(scope="session")
def meld(shared: Path) -> Path:
    return shared / "data" / "meld"
