"""HAProxy with the project's own configuration, on a free port."""

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

CONFIG = Path(__file__).resolve().parents[1] / "deploy/haproxy.cfg"
PROGRAM = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin")
needs_haproxy = pytest.mark.skipif(PROGRAM is None, reason="no haproxy: apt-get install haproxy")


@contextmanager
def haproxy(edge_1: str, edge_2: str) -> Iterator[str]:
    """Yields its URL once it accepts connections. The edges are URLs, too."""
    assert PROGRAM
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"
    edges = {"EDGE_1": edge_1.removeprefix("http://"), "EDGE_2": edge_2.removeprefix("http://")}
    command = [PROGRAM, "-db", "-f", str(CONFIG)]
    environment = os.environ | edges | {"LISTEN": address}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            host, _, port = address.partition(":")
            while process.poll() is None:
                try:
                    socket.create_connection((host, int(port))).close()
                    break
                except OSError:
                    time.sleep(0.01)  # until it listens
            assert process.poll() is None, "haproxy did not start"
            yield f"http://{address}"
        finally:
            process.kill()
