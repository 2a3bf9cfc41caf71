"""Sources that go on by themselves: a camera's address, a stream, this machine's microphone."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator
from pathlib import PurePosixPath
from urllib.parse import urlsplit

from engine.ingest.file import MediaError, read_media
from engine.ingest.microphone import MICROPHONE, advice, microphone
from engine.media import AudioChunk
from engine.runtime.channel import Channel
from engine.runtime.clocks import MediaClock

LIVE_SCHEMES = {"rtsp", "rtsps", "rtmp", "rtmps", "srt", "udp", "rtp", "tcp"}
CHANNEL_CHUNKS = 256  # of 0.1 s
FIRST_WAIT_S, LONGEST_WAIT_S = 0.5, 10.0

log = logging.getLogger(__name__)


def is_live(source: str) -> bool:
    """Does this address go on whether or not anybody reads it? A file does not: it waits."""
    address = urlsplit(source)
    playlist = address.scheme in ("http", "https") and PurePosixPath(address.path).suffix == ".m3u8"
    return source == MICROPHONE or address.scheme in LIVE_SCHEMES or playlist


async def read_live(
    source: str, speakers: list[str] | None = None, *, give_up_after_s: float = 60.0
) -> AsyncGenerator[AudioChunk, None]:
    """As `read_media`, from a live source, which is opened again whenever it breaks, waiting longer each time.

    Media time goes on meanwhile. Where the pipeline is behind, the oldest chunks are dropped. Ends when a playlist says
    that it is over. Raises MediaError where the source was not there at first, or no more for `give_up_after_s`.
    """
    chunks: Channel[AudioChunk] = Channel(CHANNEL_CHUNKS)

    async def receive() -> None:
        try:
            async for chunk in _again_and_again(source, speakers, give_up_after_s):
                chunks.offer(chunk)
        finally:
            chunks.close()

    receiving = asyncio.create_task(receive(), name=f"receive {source}")
    try:
        async for chunk in chunks:
            yield chunk
        await receiving
    finally:
        receiving.cancel()
        await asyncio.wait([receiving])
        if chunks.dropped:
            log.warning("%s: chunks dropped since the pipeline was behind: %d", source, chunks.dropped)


async def _again_and_again(
    source: str, speakers: list[str] | None, give_up_after_s: float
) -> AsyncIterator[AudioChunk]:
    path, device = microphone() if source == MICROPHONE else (source, None)
    clock = MediaClock()
    waited_s, wait_s = 0.0, FIRST_WAIT_S
    while True:
        offset_s = clock.now_s()  # media time has gone on while there was nothing to hear
        try:
            async for chunk in read_media(path, speakers=speakers, device=device):
                clock.arrived(chunk.end_s + offset_s)
                waited_s, wait_s = 0.0, FIRST_WAIT_S
                yield chunk.moved(offset_s)
            if urlsplit(source).scheme in ("http", "https"):
                return  # a playlist says when it is over
            problem = "it ended"
        except MediaError as error:
            if not clock.delivered_s and source == MICROPHONE:
                raise MediaError(advice(_reason(error))) from error
            if not clock.delivered_s:
                raise
            problem = str(error)
        if waited_s >= give_up_after_s:
            raise MediaError(f"{source} was not to be had for {give_up_after_s:.0f} s: {problem}")
        log.warning("%s: %s; trying again in %.1f s", source, problem, wait_s)
        await asyncio.sleep(wait_s)
        waited_s, wait_s = waited_s + wait_s, min(2 * wait_s, LONGEST_WAIT_S)


def _reason(error: MediaError) -> str:
    return str(getattr(error.__cause__, "strerror", None) or error).rstrip(".")
