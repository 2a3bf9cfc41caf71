"""`cberl cluster up` as a process of its own."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import pytest

from testing.command import MAIN

ROOT = Path(__file__).resolve().parents[1]
needs_ray = pytest.mark.skipif(find_spec("ray") is None, reason="no Ray: pip install 'cberl-engine[cluster]'")


@dataclass(frozen=True)
class RayCluster:
    """`environment` is that of engines that join it."""

    address: str
    process: subprocess.Popen[bytes]
    environment: dict[str, str]

    def kill_a_replica(self, deployment: str) -> None:
        """One that runs now."""
        for process in Path("/proc").glob("[0-9]*"):
            try:
                title = (process / "cmdline").read_bytes().decode(errors="replace")
            except OSError:  # it has ended meanwhile
                continue
            if f"ServeReplica:cberl-{deployment}" in title and self._is_mine(int(process.name)):
                os.kill(int(process.name), signal.SIGKILL)
                return
        raise AssertionError(f"no replica of {deployment} runs")

    def _is_mine(self, pid: int) -> bool:
        while pid > 1:
            if pid == self.process.pid:
                return True
            pid = int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
        return False


@contextmanager
def ray_cluster(folder: Path, *flags: str) -> Iterator[RayCluster]:
    """Yields the cluster once its models are served. Ends it by SIGTERM, and asserts that it ends well."""
    log, token = folder / "cluster.log", folder / "ray_token"
    token.write_text("ab" * 32)
    environment = {"RAY_AUTH_TOKEN_PATH": str(token), "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-c", MAIN, "cluster", "up", *flags]
    with (
        log.open("wb") as output,
        subprocess.Popen(command, stdout=output, stderr=output, cwd=folder, env=os.environ | environment) as process,
    ):
        try:
            yield RayCluster(_address(process, log), process, environment)
            process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0, log.read_text()
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        _, found, after = log.read_text().partition("cberl serve --inference ")
        if found and "\n" in after:
            return after.split()[0]
        time.sleep(0.1)
    raise AssertionError(log.read_text())
