"""Short-lived clients: one coroutine for each way in which a client can connect, fail and leave."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from itertools import count

import httpx
import numpy as np
from aiortc import RTCPeerConnection
from websockets.asyncio.client import ClientConnection

from cberl.types import SAMPLE_RATE
from testing.live_engine import END, SCRIPT, Message, demo, emotions, frames, rest, send, start, ws
from testing.whip_client import SDP, Voice, offer_of, peer, publishing

LASTS_S = 0.3
NOISE = np.random.default_rng(0).uniform(-0.3, 0.3, round(LASTS_S * SAMPLE_RATE)).astype(np.float32)
WHIP_TIMEOUT_S = 2.0  # for the server's settings: short, so that tests do not wait for lost publishers

numbers = count()

UPLOAD_S = 60.0  # of a virtual source, whose media comes as fast as the engine takes it
SILENCE = np.zeros(round(UPLOAD_S * SAMPLE_RATE), np.float32)

Come = Callable[[str], Awaitable[None]]


def conversation() -> str:
    return f"churn-{next(numbers)}"


async def hangs_up(url: str) -> None:
    voice = Voice(NOISE)
    async with publishing(url, conversation(), "alice", voice) as published:
        if await said(voice):
            await published.hang_up()


async def said(voice: Voice) -> bool:
    """False where the server gave up first: on a busy machine, to connect may take longer than WHIP_TIMEOUT_S."""
    try:
        async with asyncio.timeout(10 * WHIP_TIMEOUT_S):
            await voice.said.wait()
    except TimeoutError:
        return False
    return True


async def closes(url: str) -> None:
    """Closes DTLS without an HTTP DELETE."""
    voice = Voice(NOISE)
    async with publishing(url, conversation(), "alice", voice):
        await said(voice)


async def falls_silent(url: str) -> None:
    """Its network fails without any signal."""
    voice = Voice(NOISE)
    async with publishing(url, conversation(), "alice", voice) as published:
        await said(voice)
        cut_off(published.connection)


async def never_comes(url: str) -> None:
    """Posts an offer and never connects."""
    connection = peer(Voice(NOISE))
    try:
        await post(url, await offer_of(connection), 201)
    finally:
        await connection.close()


async def offers_nonsense(url: str) -> None:
    connection = peer(Voice(NOISE))
    try:
        offer = await offer_of(connection)
    finally:
        await connection.close()
    await post(url, offer.replace("a=fingerprint", "a=fingertip"), 400)
    await post(url, offer.replace("a=sendonly", "a=inactive"), 422)
    await post(url, offer.replace("m=audio 9", "m=audio 0"), None)
    await post(url, offer[: len(offer) // 2], None)


async def ends_its_session(url: str) -> None:
    async with ws(url, f"/ingest?conversation={conversation()}") as client:
        await speak(client)
        await client.send(END)
        await rest(client)


async def breaks_off(url: str) -> None:
    async with ws(url, f"/ingest?conversation={conversation()}") as client:
        await speak(client)
        client.transport.abort()


async def talks_nonsense(url: str) -> None:
    async with ws(url, f"/ingest?conversation={conversation()}") as client:
        for message in ("{", b"\x01", "[]", '{"type": "session.start", "tracks": 3}'):
            await client.send(message)
        await speak(client)


class RefusedError(Exception):
    """The server takes nobody for a while, because the machine is busy."""


def admitted(messages: list[Message]) -> list[Message]:
    """The same. Raises RefusedError where the last is a refusal."""
    if messages[-1].get("code") == "full":
        raise RefusedError
    return messages


async def come(way: Come, url: str) -> bool:
    """Whether the client was let in."""
    try:
        await way(url)
    except RefusedError:
        return False
    except httpx.HTTPStatusError as error:
        if error.response.status_code != 503:
            raise
        return False
    return True


async def uploads(url: str) -> None:
    """A virtual source: UPLOAD_S of media, with noises, in a fraction of that time."""
    pcm = SILENCE.copy()
    pcm[:: SAMPLE_RATE * 10] = 0.5
    pcm[: len(NOISE)] = NOISE
    async with ws(url, f"/ingest?conversation={conversation()}") as client:
        reading = asyncio.create_task(rest(client))
        await client.send(start("alice"))
        await send(client, frames(pcm))
        await client.send(END)
        (*_, last) = admitted(await reading)
        assert last.get("received_s") == UPLOAD_S, last


async def captions_its_turn(url: str) -> None:
    """A turn of real speech, whose words come as captions."""
    name, turn = conversation(), SCRIPT.turns[0]
    pcm = demo()[SCRIPT.speakers.index(turn.speaker), : round((turn.end_s + 1.5) * SAMPLE_RATE)]
    opening = json.loads(start(turn.speaker))
    opening["tracks"][0]["captions"] = True
    words = {"type": "caption", "track": "audio-1", "start_s": turn.start_s, "end_s": turn.end_s, "text": turn.text}
    async with ws(url, f"/ingest?conversation={name}") as client:
        reading = asyncio.create_task(rest(client))
        await client.send(json.dumps(opening))
        await send(client, frames(pcm))
        await client.send(json.dumps(words))
        await client.send(END)
        assert [it["text"] for it in emotions(admitted(await reading))] == [turn.text]


async def listens(url: str) -> None:
    """To one conversation, and to all."""
    for name in (conversation(), "*"):
        async with ws(url, f"/events?conversation={name}") as client:
            if name != "*":
                await client.recv()


async def breaks_off_listening(url: str) -> None:
    async with ws(url, f"/events?conversation={conversation()}") as client:
        await client.recv()
        client.transport.abort()


async def speak(client: ClientConnection) -> None:
    await client.send(start("alice"))
    for one in frames(NOISE):
        await client.send(one)


async def post(url: str, offer: str, status: int | None) -> None:
    async with httpx.AsyncClient(base_url=url, trust_env=False, timeout=60) as http:
        path = f"/whip/{conversation()}?speaker=alice"
        answer = await http.post(path, content=offer, headers=SDP)
        assert answer.status_code == status or (status is None and answer.status_code < 500), answer.text
        assert (answer.status_code == 201) == ("Location" in answer.headers)


def cut_off(connection: RTCPeerConnection) -> None:
    """Drop all further packets of this peer, also those that close the connection."""

    async def lost(data: bytes) -> None:
        await asyncio.sleep(0)

    for sender in connection.getSenders():
        sender.transport.transport._send = lost


WHIP: tuple[Come, ...] = (hangs_up, closes, falls_silent, never_comes, offers_nonsense)
INGEST: tuple[Come, ...] = (ends_its_session, breaks_off, talks_nonsense)
OTHERS: tuple[Come, ...] = (uploads, captions_its_turn, listens, breaks_off_listening)
