"""Where tests find real data and models."""

import os
from pathlib import Path

import pytest


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
