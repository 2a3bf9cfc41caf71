"""A server on a free port with a pipeline that only measures audio, and helpers for its clients."""

import asyncio
import json
import struct
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from cberl.types import SAMPLE_RATE
from engine.access.guard import Access
from engine.config import Settings
from engine.delivery.hub import Hub
from engine.errors import RefusedError
from engine.events import EmotionEvent, SpeakerJoined, SpeakerLeft
from engine.runtime.hangs import Hangs
from engine.runtime.load_shedding import EngineLoad
from engine.server.app import create_app
from engine.server.serve import serve
from engine.server.sinks import open_event_sinks

MIC = {"id": "mic", "speaker": "alice", "kind": "audio", "codec": "pcm_s16le", "sample_rate": 16_000, "channels": 1}
OPEN = Access(None)
FROM_ONE_ADDRESS = {"new_sockets_per_s": 1000.0, "max_connections_per_client": 1000}  # as all clients of tests are
END = json.dumps({"type": "session.end"})


class Counter:
    """An engine whose utterances are the parts between silent samples. Their text is the largest sample value."""

    def __init__(self, settings, hub=None):
        self.hub = hub or Hub(settings.replay_events, settings.subscriber_queue)
        self.ready = True
        self.status = {"asr": "none"}
        self.conversations = self.publishers = self.dropped_chunks = self.failed = 0
        self.load = EngineLoad()
        self.models = SimpleNamespace(workers=[], hangs=Hangs(), checkpoint=SimpleNamespace(name="none"), asr="none")
        self.open = asyncio.Event()  # chunks are processed only while it is set
        self.open.set()
        self.heard_s = 0.0
        self.source = None
        self.captions = []  # as (speaker, caption)
        self.taken = set()

    def refuse_new(self):
        self.ready = False

    async def all_ended(self):
        pass  # its conversations are not opened, so they need not be ended

    @asynccontextmanager
    async def open_slot(self, conversation, speaker, *, client=()):
        if speaker == "mallory":
            raise RefusedError("full", "All slots are taken.", retry_after_s=5.0)
        if speaker in self.taken:
            raise RefusedError("speaker_taken", f"{speaker} is here already.")
        self.taken.add(speaker)
        try:
            yield partial(self.join, conversation, live=True)
        finally:
            self.taken.discard(speaker)

    async def join(self, conversation, source, *, live, client=()):
        self.source = source
        speakers, turns = [], {}
        async for chunk in source:
            speaker = chunk.track.speaker
            if speaker == "mallory":
                raise RefusedError("full", "All slots are taken.", retry_after_s=5.0)
            if speaker not in speakers:
                speakers.append(speaker)
                self.hub.publish(SpeakerJoined(conversation, speaker))
            await self.open.wait()
            self.heard_s += len(chunk.pcm) / SAMPLE_RATE
            self.captions += [(speaker, caption) for caption in chunk.captions]
            for part in parts(chunk):
                if part.pcm.any():
                    turns.setdefault(speaker, []).append(part)
                else:
                    self._end_turn(conversation, turns.pop(speaker, []))
        for turn in list(turns.values()):
            self._end_turn(conversation, turn)
        for speaker in speakers:
            self.hub.publish(SpeakerLeft(conversation, speaker))

    def _end_turn(self, conversation, turn):
        if turn:
            loudest = max(float(chunk.pcm.max()) for chunk in turn)
            event = utterance(conversation, turn[0].track.speaker, text=str(round(loudest * 32_768)))
            self.hub.publish(replace(event, start_s=turn[0].start_s, end_s=turn[-1].end_s))


def parts(chunk):
    """The chunk in parts that are silent or not: chunks that waited come as one."""
    edges = np.flatnonzero(np.diff(chunk.pcm != 0)) + 1
    starts = [0, *edges.tolist()]
    for start, pcm in zip(starts, np.split(chunk.pcm, edges), strict=True):
        yield replace(chunk, start_s=chunk.start_s + start / SAMPLE_RATE, pcm=pcm)


def utterance(conversation="demo", speaker="alice", text="hi", status="final"):
    return EmotionEvent(
        conversation, f"{conversation}/{speaker}/1", speaker, 0.0, 1.0, text, "joy", 0.9, {"joy": 0.9}, 0.5, 0.5,
        None, {"text": 1.0}, "v", "m", {}, 0.0, status=status,
    )  # fmt: skip


@asynccontextmanager
async def running(*, access=OPEN, **flags):
    """Yields (engine, URL) of a running server, which asks for no tokens unless `access` does."""
    settings = Settings(port=0, **FROM_ONE_ADDRESS | flags)
    url = asyncio.get_running_loop().create_future()
    async with open_event_sinks(settings) as sinks, asyncio.TaskGroup() as group:
        engine = Counter(settings, sinks.hub)
        engine.app = create_app(engine, settings, sinks, access=access)
        server = group.create_task(serve(engine.app, settings, url.set_result))
        await asyncio.wait([server, url], return_when=asyncio.FIRST_COMPLETED)
        try:
            yield engine, await url
        finally:
            engine.open.set()
            server.cancel()


def ws(url, path, **options):
    return connect(url.replace("http", "ws") + path, **({"proxy": None} | options))


def start(*tracks):
    return json.dumps({"type": "session.start", "tracks": tracks or [MIC]})


def frame(value, at_s=0.0, seconds=0.02, track="mic"):
    name = track.encode()
    header = struct.pack("<BB", 1, len(name)) + name + struct.pack("<d", at_s)
    return header + np.full(round(seconds * SAMPLE_RATE), value, "<i2").tobytes()


async def until(client, kind, **fields):
    """The next message of this type with these fields. Messages before it are ignored."""
    while True:
        body = json.loads(await client.recv())
        if body["type"] == kind and all(body[name] == value for name, value in fields.items()):
            return body


async def rest(client):
    """(messages, close code, reason): all that is received until the server closes the socket."""
    messages = []
    try:
        while True:
            messages.append(json.loads(await client.recv()))
    except ConnectionClosed as closed:
        return messages, closed.rcvd.code if closed.rcvd else None, closed.rcvd.reason if closed.rcvd else None


def seqs(messages):
    return [message["seq"] for message in messages if "seq" in message]
