"""One server for the attacks that leave it running: starting it takes longer than most of them."""

from collections.abc import Iterator

import pytest

from testing.serving import Served, served

FILES = 600
FLAGS = ("--request-timeout-s", "2", "--first-media-s", "2", "--max-sessions", "4", "--rejoin-grace-s", "0")


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With short deadlines, few conversations and few descriptors, and a log of events."""
    folder = tmp_path_factory.mktemp("attacked")
    log = ("--event-log", str(folder / "events.db"), "--keep-text")
    with served(folder, *FLAGS, *log, open_files=FILES) as server:
        yield server
