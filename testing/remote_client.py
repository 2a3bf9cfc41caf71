"""The Python client as a program, for a machine or namespace of its own. Prints one JSON object per message.

Where a connection is lost, it prints {"kind": "lost"}.

python -m testing.remote_client publish URL CONVERSATION SPEAKER=PCM_FILE ...   16 kHz, 16 bit, in real time
python -m testing.remote_client subscribe URL CONVERSATION SPEAKERS             until so many have left
"""

import asyncio
import json
import logging
import sys
from collections.abc import AsyncIterator
from dataclasses import asdict
from pathlib import Path

from cberl_client import Backoff, Message, SpeakerLeft, publish_audio, subscribe

PIECE_S, BYTES_PER_S = 0.1, 32_000
# Connections that are dead are given up within seconds, as a program does that must not miss what is live.
PINGS = {"ping_interval": 0.5, "ping_timeout": 1.0, "open_timeout": 1.5, "proxy": None}
PATIENT = PINGS | {"ping_timeout": 2.0, "close_timeout": 0.5}  # a publisher's pings wait behind its media


async def publish(url: str, conversation: str, *tracks: str) -> None:
    audio = {}
    for track in tracks:
        speaker, _, file = track.partition("=")
        audio[speaker] = in_real_time(file)
    async for message in publish_audio(url, conversation, audio, backoff=Backoff(0.2, 1.0), **PATIENT):
        show(message)


async def in_real_time(file: str) -> AsyncIterator[bytes]:
    pcm = await asyncio.to_thread(Path(file).read_bytes)
    loop = asyncio.get_running_loop()
    began, step = loop.time(), round(PIECE_S * BYTES_PER_S)
    for at in range(0, len(pcm), step):
        await asyncio.sleep(began + at / BYTES_PER_S - loop.time())
        yield pcm[at : at + step]


class _Lost(logging.Handler):
    """The client logs each failure to connect, and each connection that failed."""

    def emit(self, record: logging.LogRecord) -> None:
        print(json.dumps({"kind": "lost"}), flush=True)


async def listen(url: str, conversation: str, speakers: str) -> None:
    left = 0
    backoff = Backoff(0.2, 1.0)
    async for message in subscribe(url, conversation, after_seq=0, backoff=backoff, **PINGS):
        show(message)
        left += isinstance(message, SpeakerLeft)
        if left == int(speakers):
            return


def show(message: Message) -> None:
    print(json.dumps({"kind": type(message).__name__} | asdict(message)), flush=True)


if __name__ == "__main__":
    log = logging.getLogger("cberl_client")
    log.setLevel(logging.INFO)
    log.addHandler(_Lost())
    command, *arguments = sys.argv[1:]
    asyncio.run({"publish": publish, "subscribe": listen}[command](*arguments))
