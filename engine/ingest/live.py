"""Live sources: the address of a camera or a stream, and this machine's microphone."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from cberl.data.media import MediaError
from engine.ingest.file import read_media
from engine.ingest.microphone import MICROPHONE, advice, microphone
from engine.media import AudioChunk
from engine.runtime.channel import Channel
from engine.runtime.clocks import MediaClock

LIVE_SCHEMES = {"rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp"}
CHANNEL_CHUNKS = 256  # of 0.1 s
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0

log = logging.getLogger(__name__)


def is_live(source: str) -> bool:
    """Whether this address delivers media in real time. A file, also one at an address, is read on demand."""
    address = urlsplit(source)
    playlist = address.scheme in ("http", "https") and PurePosixPath(address.path).suffix == ".m3u8"
    return source == MICROPHONE or address.scheme in LIVE_SCHEMES or playlist


class LiveSource:
    """As `read_media`, from a live source. It is opened again whenever it breaks, after growing delays.

    Media time continues meanwhile. Where the pipeline is behind, the oldest chunks are dropped and counted. Ends when a
    playlist ends. Iterating raises MediaError where the source was not available at first, or not for
    `give_up_after_s`.
    """

    def __init__(self, address: str, speakers: list[str] | None = None, *, give_up_after_s: float = 60.0) -> None:
        self._address = address
        self._speakers = speakers
        self._give_up_after_s = give_up_after_s
        self._chunks: Channel[AudioChunk] = Channel(CHANNEL_CHUNKS)

    @property
    def dropped(self) -> int:
        return self._chunks.dropped

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        receiving = asyncio.create_task(self._receive(), name=f"receive {self._address}")
        try:
            async for chunk in self._chunks:
                yield chunk
            await receiving
        finally:
            receiving.cancel()
            await asyncio.wait([receiving])
            if self.dropped:
                log.warning("%s: chunks dropped because the pipeline was behind: %d", self._address, self.dropped)

    async def _receive(self) -> None:
        try:
            async for chunk in _reopened(self._address, self._speakers, self._give_up_after_s):
                self._chunks.offer(chunk)
        finally:
            self._chunks.close()


async def _reopened(source: str, speakers: list[str] | None, give_up_after_s: float) -> AsyncIterator[AudioChunk]:
    path, device = microphone() if source == MICROPHONE else (source, None)
    clock = MediaClock()
    waited_s, wait_s = 0.0, FIRST_WAIT_S
    while True:
        offset_s = clock.now_s()  # media time has advanced while there was no media
        try:
            async for chunk in read_media(path, speakers=speakers, device=device):
                clock.arrived(chunk.end_s + offset_s)
                waited_s, wait_s = 0.0, FIRST_WAIT_S
                yield chunk.moved(offset_s)
            if urlsplit(source).scheme in ("http", "https"):
                return  # the playlist has ended
            problem = "it ended"
        except MediaError as error:
            if not clock.delivered_s and source == MICROPHONE:
                raise MediaError(advice(_reason(error))) from error
            if not clock.delivered_s:
                raise
            problem = str(error)
        if waited_s >= give_up_after_s:
            raise MediaError(f"{source} was not available for {give_up_after_s:.0f} s: {problem}")
        log.warning("%s: %s; trying again in %.1f s", source, problem, wait_s)
        await asyncio.sleep(wait_s)
        waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, LONGEST_WAIT_S)


def _reason(error: MediaError) -> str:
    return str(getattr(error.__cause__, "strerror", None) or error).rstrip(".")
