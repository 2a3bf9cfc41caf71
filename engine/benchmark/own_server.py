"""`cberl serve` as a process of its own, to be measured."""

import asyncio
import os
import re
import sys
import tempfile
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.access.keys import Keys, new_key, save_keys
from engine.access.setup import admin_token
from engine.errors import EngineError

# Nothing of what is measured goes to the log or the brokers of a configuration file, and one client may have it all.
FLAGS = (
    *("--host", "127.0.0.1", "--port", "0", "--tls-cert", "", "--tls-key", ""),
    *("--event-log", "", "--record", "", "--mqtt", "", "--log-level", "warning", "--rejoin-grace-s", "0"),
    *("--max-sessions", "10000", "--max-sessions-per-client", "10000", "--new-sockets-per-s", "10000"),
    *("--max-connections", "10000", "--max-connections-per-client", "10000"),
    *("--conversation-store", "", "--webhook", ""),
)
ENDS_WITHIN_S = 15.0
KEPT_LINES = 20
READY = re.compile(r"CBERL Engine is at (\S+)")


class BenchError(EngineError):
    """There is no server to measure."""


@dataclass(frozen=True, slots=True)
class Server:
    """`pid` is None for a server that was not started here."""

    url: str
    token: str | None
    pid: int | None = None

    def cpu_s(self) -> float | None:
        """Processor time that the server has used so far; None where it cannot be read (Linux only)."""
        try:
            fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return None
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def machine_cpu_s() -> float | None:
    """Processor time that all processes have used since this machine was started; None where it cannot be read."""
    try:
        user, nice, system, _, _, irq, softirq, *_ = map(int, Path("/proc/stat").read_text().split()[1:9])
    except OSError:
        return None
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


@asynccontextmanager
async def own_server(flags: Sequence[str]) -> AsyncIterator[Server]:
    """Yields the server when it accepts connections. `flags` are added. Raises BenchError where it does not start."""
    with tempfile.TemporaryDirectory(prefix="cberl-bench-") as folder:
        file, keys = Path(folder) / "keys.json", Keys((new_key(),))
        save_keys(file, keys)
        command = [sys.executable, "-c", "from engine.cli import main; main()", "serve"]
        command += [*FLAGS, "--keys", str(file), *flags]
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,  # Ctrl-C is for the driver, which then ends the server
        )
        lines: deque[str] = deque(maxlen=KEPT_LINES)
        url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        reading = asyncio.create_task(_read(process, lines, url), name="output of the server")
        try:
            awaited: list[asyncio.Future[Any]] = [reading, url]
            await asyncio.wait(awaited, return_when=asyncio.FIRST_COMPLETED)
            if not url.done():
                raise BenchError("\n".join(["the server did not start:", *lines]))
            yield Server(url.result(), admin_token(keys), process.pid)
        finally:
            await _end(process)
            await asyncio.wait([reading])
            url.cancel()


async def _read(process: asyncio.subprocess.Process, lines: deque[str], url: asyncio.Future[str]) -> None:
    """Keep the last lines of stderr, so that its pipe never fills up."""
    assert process.stderr is not None
    async for line in process.stderr:
        lines.append(line.decode(errors="replace").rstrip())
        if (ready := READY.search(lines[-1])) and not url.done():
            url.set_result(ready[1])


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.terminate()
    try:
        async with asyncio.timeout(ENDS_WITHIN_S):
            await process.wait()
    except TimeoutError:
        process.kill()
        await process.wait()
