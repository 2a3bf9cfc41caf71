"""One conversation, or many at once, through the /ingest of a running engine: paced as live calls are."""

import asyncio
import json
import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import websockets
from websockets.asyncio.client import ClientConnection, connect

from engine.benchmark.lateness import Lateness
from engine.benchmark.own_server import Server, machine_cpu_s
from engine.benchmark.result import Outcome, Row, Usage, summarize
from engine.benchmark.talk import LEAST_PAUSE_S, MARGIN_S, SPEAKERS, ClipLibrary, PlacedClip, payloads
from engine.demo.play import message, session_start

LEAD_S = 1.0  # of silence, from the last connection to the time from which turns count
TAIL_S = 20.0  # for the last events, after the last packet
OWN_PER_S, OTHERS_PER_S = 50.0, 8.0  # new connections; another engine allows 10 per client by default
FINAL = '"status":"final"'


@dataclass(frozen=True, slots=True)
class Load:
    """What each conversation does. `speaking`: share of the time in which somebody speaks."""

    seconds: float = 30.0
    speaking: float = 0.5
    captions: bool = False
    synchronised: bool = False


class ConversationDriver:
    """Sends one conversation and collects its events."""

    def __init__(
        self, server: Server, name: str, library: ClipLibrary, load: Load, placed: Sequence[PlacedClip]
    ) -> None:
        self.outcome = Outcome()
        self._address = f"{server.url.replace('http', 'ws', 1)}/ingest?conversation={quote(name, safe='')}"
        self._headers = {"Authorization": f"Bearer {server.token}"} if server.token else {}
        self._library = library
        self._load = load
        self._placed = placed
        self._spoken: dict[tuple[int, int], tuple[float, float]] = {}  # media seconds of each turn
        self._answered: set[tuple[int, int]] = set()
        self._finals = 0

    async def run(self, begins_at: float, counts_from: float, seed: int) -> None:
        """Connect at `begins_at` on the loop's clock; the clips are placed relative to `counts_from`."""
        now = asyncio.get_running_loop().time
        await asyncio.sleep(max(0.0, begins_at - now()))
        try:
            async with connect(self._address, proxy=None, additional_headers=self._headers, max_size=None) as socket:
                began = now()
                offset = max(0, round((counts_from - began) / self._library.packet_s))
                self._spoken = {(it.packet, it.track): self._media_s(it, offset) for it in self._placed}
                sending = asyncio.create_task(self._send(socket, began, offset, seed), name="send")
                try:
                    async with asyncio.timeout(counts_from - began + self._load.seconds + TAIL_S):
                        await self._receive(socket, began)
                finally:
                    sending.cancel()
                    await asyncio.wait([sending])
        except TimeoutError:
            self._fail(f"the last events did not come within {TAIL_S:.0f} s")
        except (OSError, websockets.WebSocketException) as error:
            self._fail(f"the connection was lost: {error}")
        self.outcome.missed = len(self._spoken) - len(self._answered)

    def _fail(self, problem: str) -> None:
        """The first problem counts: others follow from it."""
        self.outcome.problem = self.outcome.problem or problem

    def _media_s(self, placed: PlacedClip, offset: int) -> tuple[float, float]:
        start_s = (placed.packet + offset) * self._library.packet_s
        return start_s + MARGIN_S, start_s + placed.clip.speech_end_s

    async def _send(self, socket: ClientConnection, began: float, offset: int, seed: int) -> None:
        """Each packet when its last sample is spoken; captions with the last packet of a turn."""
        now, packet_s = asyncio.get_running_loop().time, self._library.packet_s
        await socket.send(session_start(SPEAKERS, captions=self._load.captions))
        captions = {it.packet + offset + len(it.clip.packets) - 1: it for it in self._placed if self._load.captions}
        packets = payloads(self._library, self._placed, offset, seed)
        for number in range(offset + round(self._load.seconds / packet_s)):
            await asyncio.sleep(max(0.0, began + (number + 1) * packet_s - now()))
            for track, payload in enumerate(next(packets)):
                await socket.send(message(f"audio-{track + 1}", number * packet_s, payload))
            if said := captions.get(number):
                await socket.send(self._caption(said, offset))
        await socket.send(json.dumps({"type": "session.end"}))

    def _caption(self, said: PlacedClip, offset: int) -> str:
        start_s, end_s = self._media_s(said, offset)
        words = {"start_s": start_s, "end_s": end_s, "text": said.clip.text, "language": "en"}
        return json.dumps({"type": "caption", "track": f"audio-{said.track + 1}"} | words)

    async def _receive(self, socket: ClientConnection, began: float) -> None:
        """Until the server has answered everything. The first turn of a conversation does not count as measured."""
        now = asyncio.get_running_loop().time
        async for text in socket:
            arrived, body = now(), json.loads(text)
            if body["type"] == "emotion" and FINAL in str(text):
                self._answered.update(it for it in self._spoken if self._overlaps(it, body))
                if self._finals:
                    self.outcome.after_speech_ms.append(1e3 * (arrived - began - body["end_s"]))
                self._finals += 1
            elif body["type"] == "session.ended":
                self.outcome.dropped_chunks = body["dropped_chunks"]
                return
            elif body["type"] == "error" and body["fatal"]:
                self._fail(body["message"])

    def _overlaps(self, turn: tuple[int, int], event: dict[str, Any]) -> bool:
        start_s, end_s = self._spoken[turn]
        return bool(start_s < event["end_s"] and event["start_s"] < end_s and event["speaker"] == SPEAKERS[turn[1]])


async def drive(server: Server, library: ClipLibrary, load: Load, count: int, lateness: Lateness) -> Row:
    """`count` conversations at once."""
    loop, run = asyncio.get_running_loop(), secrets.token_hex(3)
    per_s = OWN_PER_S if server.pid else OTHERS_PER_S
    begun = loop.time()
    counts_from = begun + count / per_s + LEAD_S
    seeds = [0 if load.synchronised else n for n in range(count)]
    drivers = [
        ConversationDriver(
            server, f"bench-{run}-{n}", library, load, library.conversation(load.seconds, load.speaking, seed)
        )
        for n, seed in enumerate(seeds)
    ]
    watching = asyncio.create_task(_usage(server, counts_from, load.seconds - LEAST_PAUSE_S, lateness), name="usage")
    try:
        async with asyncio.TaskGroup() as tasks:
            for n, driver in enumerate(drivers):
                tasks.create_task(driver.run(begun + n / per_s, counts_from, seed=n), name=f"conversation {n}")
        usage = watching.result() if watching.done() else Usage()  # all have failed
    finally:
        watching.cancel()
        await asyncio.wait([watching])
    return summarize([it.outcome for it in drivers], usage)


async def _usage(server: Server, begins_at: float, seconds: float, lateness: Lateness) -> Usage:
    await asyncio.sleep(max(0.0, begins_at - asyncio.get_running_loop().time()))
    lateness.restart()
    before, began = _cpu_s(server), time.monotonic()
    await asyncio.sleep(seconds)
    after, passed_s = _cpu_s(server), time.monotonic() - began
    of_server, own, of_all = (
        None if first is None or last is None else (last - first) / passed_s
        for first, last in zip(before, after, strict=True)
    )
    others = None if of_all is None or own is None else max(0.0, of_all - own - (of_server or 0.0))
    return Usage(of_server, own or 0.0, others if server.pid else None, lateness.p99_ms)


def _cpu_s(server: Server) -> tuple[float | None, float | None, float | None]:
    """Processor time used so far: by the server, by this process, by all processes of this machine."""
    return server.cpu_s(), time.process_time(), machine_cpu_s()
