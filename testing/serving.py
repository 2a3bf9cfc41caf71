"""`cberl serve` with real models as a process of its own, and a conversation that must lose nothing beside an attack.

    with served(tmp_path) as server:
        async with bystander(server.url):
            ...  # attack server.url: the conversation streams in real time meanwhile
        server.assert_calm()

On exit of `bystander` the rest of the conversation is sent, and its events are compared with an undisturbed run.
"""

import asyncio
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import count
from pathlib import Path

from websockets.asyncio.client import ClientConnection

from testing.bundled_whisper import require_whisper
from testing.command import MAIN
from testing.live_engine import END, FIRST, Message, assert_same, emotions, publish, rest, start, stretch, ws

ROOT = Path(__file__).resolve().parents[1]
STARTS_WITHIN_S = 300.0
MAX_LOG_BYTES = 50_000
MESSAGE_S = 0.1  # media time of one message of each track

_numbers = count()
_undisturbed: dict[int, list[Message]] = {}  # finals by process


@dataclass(frozen=True)
class Served:
    """A running server. `log` is the file with its stdout and stderr."""

    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def assert_calm(self) -> None:
        """The process runs, and has logged no traceback and not much."""
        assert self.process.poll() is None, self.log.read_text()[-2000:]
        text = self.log.read_text()
        assert "Traceback" not in text, text[-4000:]
        assert len(text) < MAX_LOG_BYTES, text[-4000:]

    @property
    def resident_mb(self) -> float:
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * resource.getpagesize() / 2**20


@contextmanager
def served(
    folder: Path, *flags: str, open_files: int | None = None, before: str = "", inside: Sequence[str] = ()
) -> Iterator[Served]:
    """Yields the server once it accepts connections; killed at the end.

    Without `--keys` it asks for no tokens. `open_files` is its limit of descriptors. `before` is Python that runs first
    in its process, to break something. `inside` precedes the command.
    """
    require_whisper()
    log = folder / "serve.log"
    access = () if "--keys" in flags else ("--no-auth",)
    fixed = ("--port", "0", "--whisper-model", "tiny.en", "--interim-ms", "0", "--stats-s", "3600")
    command = [*inside, sys.executable, "-c", f"{before}\n{MAIN}", "serve", *fixed, *access, *flags]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    limit = open_files and partial(resource.setrlimit, resource.RLIMIT_NOFILE, (open_files, open_files))
    with (
        log.open("wb") as output,
        subprocess.Popen(
            command, stdout=output, stderr=output, cwd=folder, env=environment, preexec_fn=limit or None
        ) as process,
    ):
        try:
            yield Served(_address(process, log), process, log)
        finally:
            process.kill()


def _address(process: subprocess.Popen[bytes], log: Path) -> str:
    deadline = time.monotonic() + STARTS_WITHIN_S
    while time.monotonic() < deadline:
        _, found, after = log.read_text().partition("CBERL Engine is at ")
        if found and "\n" in after:
            return after.split()[0]
        assert process.poll() is None, log.read_text()
        time.sleep(0.05)
    raise AssertionError(f"no address after {STARTS_WITHIN_S} s: {log.read_text()}")


@asynccontextmanager
async def bystander(server: Served) -> AsyncIterator[None]:
    """Streams a conversation in real time during the block, with a subscriber. Asserts that neither loses an event."""
    if server.process.pid not in _undisturbed:
        _undisturbed[server.process.pid] = emotions(await publish(server.url, "undisturbed", stretch(*FIRST)))
        assert len(_undisturbed[server.process.pid]) == 5
    await until_it_keeps_up(server)
    name = f"bystander-{next(_numbers)}"
    async with (
        ws(server.url, f"/events?conversation={name}") as watcher,
        ws(server.url, f"/ingest?conversation={name}") as client,
        asyncio.TaskGroup() as tasks,
    ):
        heard, seen = tasks.create_task(rest(client)), tasks.create_task(_until_left(watcher))
        hurry = asyncio.Event()
        await client.send(start())
        sending = tasks.create_task(stream(client, hurry))
        yield
        hurry.set()
        await sending
        await heard
        await seen
    assert_nothing_lost(heard.result(), seen.result(), _undisturbed[server.process.pid])


async def until_it_keeps_up(server: Served) -> None:
    """A busy machine refuses new conversations while it is behind live; that is no matter of the attack to come."""
    refused = True
    async with asyncio.timeout(STARTS_WITHIN_S):
        while refused:
            async with ws(server.url, f"/ingest?conversation=probe-{next(_numbers)}") as client:
                await client.send(start())
                await client.send(stretch(0.0, 0.1)[0])
                await client.send(END)
                refused = any(message.get("code") == "full" for message in await rest(client))
            if refused:
                await asyncio.sleep(1)


def assert_nothing_lost(published: list[Message], subscribed: list[Message], wanted: list[Message]) -> None:
    """Both sockets have the `wanted` finals; no chunk was dropped and no number is missing."""
    assert published[-1]["type"] == "session.ended", published[-1]
    assert published[-1]["dropped_chunks"] == 0
    assert [message for message in published if message["type"] == "error"] == []
    assert_same(emotions(published), wanted)
    assert emotions(subscribed) == emotions(published)
    numbers = [message["seq"] for message in subscribed if "seq" in message]
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


async def stream(client: ClientConnection, hurry: asyncio.Event) -> None:
    """Send the conversation, in real time until `hurry` is set."""
    loop = asyncio.get_running_loop()
    media, began = stretch(*FIRST), loop.time()
    for number, message in enumerate(media):
        due_s = began + number // 2 * MESSAGE_S - loop.time()  # two tracks
        if due_s > 0 and not hurry.is_set():
            waiting = asyncio.create_task(hurry.wait())
            await asyncio.wait([waiting], timeout=due_s)
            waiting.cancel()
        await client.send(message)
    await client.send(END)


async def _until_left(watcher: ClientConnection) -> list[Message]:
    """Messages of a subscriber until all speakers have left."""
    messages: list[Message] = []
    left = 0
    while left < 2:
        messages.append(json.loads(await watcher.recv()))
        left += messages[-1]["type"] == "speaker.left"
    return messages
