"""A peer that publishes, over real sockets on this machine: its chunks, and how it ends."""

import asyncio
import gc
import time
from itertools import repeat

import numpy as np
import pytest
from aiortc import RTCRtpSender, RTCSessionDescription
from aiortc.rate import RateBucket

from cberl.types import SAMPLE_RATE
from engine.ingest.webrtc.peer import PeerConfig, PeerLimits, open_peer
from testing.whip_client import Camera, Voice, offer_of, peer, plain

NO_LIMITS = PeerLimits()


def tone(seconds, hertz=440):
    return (0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * SAMPLE_RATE)) / SAMPLE_RATE)).astype(np.float32)


async def session(during, *tracks, codec=None, limits=NO_LIMITS, **config):
    """All chunks of a connected peer; `during(client, receiver, chunks)` runs meanwhile, and must end it."""
    client = peer(*tracks)
    if codec:
        wanted = [it for it in RTCRtpSender.getCapabilities("video").codecs if it.mimeType == codec]
        client.getTransceivers()[-1].setCodecPreferences(wanted)
    chunks = []
    async with open_peer("alice", PeerConfig(**config), limits=limits) as receiver, asyncio.TaskGroup() as group:
        answer = await receiver.answer(await offer_of(client))
        await client.setRemoteDescription(RTCSessionDescription(answer, "answer"))
        group.create_task(receiver.run())
        group.create_task(during(client, receiver, chunks))
        async for chunk in receiver.chunks:
            chunks.append(chunk)  # noqa: PERF401 - `during` watches it grow
    await client.close()
    return chunks


async def until(condition):
    while not condition():  # noqa: ASYNC110 - what the library does has no event
        await asyncio.sleep(0.01)


def sound(chunks):
    return np.concatenate([chunk.pcm for chunk in chunks])


def test_a_closed_peer_leaves_few_objects_to_the_garbage_collector():
    def count():
        return sum(type(it) is RateBucket for it in gc.get_objects())  # isinstance would ask lazy objects

    async def main():
        client = peer(Voice(tone(0.1)), Camera(()))
        offer, before = await offer_of(client), count()
        gc.disable()
        try:
            async with open_peer("alice", PeerConfig()) as receiver:
                await receiver.answer(offer)
                during = count()
            return before, during, count()
        finally:
            gc.enable()
            await client.close()

    before, during, after = asyncio.run(main())
    assert during > before + 500
    assert after == before


@pytest.mark.parametrize("codec", ["video/VP8", "video/H264"])
def test_audio_and_sampled_video_are_received_unchanged(codec):
    async def main():
        voice = Voice(tone(4.0))

        async def all_said(client, receiver, chunks):
            await until(lambda: sum(len(chunk.frames) for chunk in chunks) > 3 and voice.said.is_set())
            receiver.end()

        began_s = time.monotonic()
        chunks = await session(all_said, voice, Camera(repeat(plain((200, 40, 40), 1280, 720))), codec=codec)
        return chunks, time.monotonic() - began_s

    chunks, lasted_s = asyncio.run(main())
    pcm = sound(chunks)
    assert {chunk.track.speaker for chunk in chunks} == {"alice"}
    steady = pcm[SAMPLE_RATE // 2 : SAMPLE_RATE * 3 // 2]
    assert np.abs(np.fft.rfft(steady)).argmax() == 440
    assert np.abs(steady).max() == pytest.approx(0.5, rel=0.15)
    for before, after in zip(chunks, chunks[1:], strict=False):
        assert after.start_s == pytest.approx(before.end_s, abs=0.03)
    frames = [frame for chunk in chunks for frame in chunk.frames]
    assert len(frames) <= 3 * lasted_s + 2
    assert all(frame.rgb.shape == (360, 640, 3) for frame in frames)
    assert np.abs(frames[-1].rgb.mean(axis=(0, 1)) - (200, 40, 40)).max() < 12
    for before, after in zip(frames, frames[1:], strict=False):
        assert after.at_s > before.at_s


def test_the_answer_does_not_offer_video_orientation_so_that_phones_rotate_their_video():
    """Without `urn:3gpp:video-orientation` in the answer, the sender must rotate (3GPP TS 26.114, 6.2.3)."""

    async def main():
        client = peer(Voice(tone(1.0)), Camera(repeat(plain((200, 40, 40)))))
        offer = await offer_of(client)
        promised = offer.replace("a=mid:1", "a=mid:1\r\na=extmap:9 urn:3gpp:video-orientation")
        async with open_peer("alice", PeerConfig()) as receiver:
            answer = await receiver.answer(promised)
        await client.close()
        return promised, answer

    promised, answer = asyncio.run(main())
    assert "video-orientation" in promised
    assert "m=video" in answer
    assert "video-orientation" not in answer


def test_a_peer_that_leaves_or_sends_nothing_ends():
    async def hang_up(client, receiver, chunks):
        await until(lambda: chunks)
        await client.close()

    async def stay_silent(client, receiver, chunks):
        await until(lambda: chunks)
        client.getSenders()[0].track.flowing.clear()

    async def main():
        for during in (hang_up, stay_silent):
            chunks = await session(during, Voice(tone(60.0)), media_timeout_s=4.0)
            assert len(sound(chunks)) > 0
        async with open_peer("alice", PeerConfig(media_timeout_s=0.5)) as receiver:
            client = peer(Voice(tone(1.0)))
            await receiver.answer(await offer_of(client))
            await receiver.run()  # nobody took the answer
            assert receiver.chunks.closed
            await client.close()
        await asyncio.sleep(0)
        return asyncio.all_tasks()

    assert len(asyncio.run(main())) == 1


def test_packets_that_are_not_allowed_are_dropped_before_they_are_decoded():
    sizes = []

    def allow(size):
        sizes.append(size)
        return len(sizes) < 60 or len(sizes) > 160

    async def main():
        async def all_sent(client, receiver, chunks):
            await until(lambda: len(sizes) > 200)
            receiver.end()

        return await session(all_sent, Voice(tone(60.0)), limits=PeerLimits(allow_packet=allow))

    chunks = asyncio.run(main())
    assert max(sizes) < 1500
    assert 1.0 < chunks[-1].end_s - chunks[0].start_s - len(sound(chunks)) / SAMPLE_RATE < 2.5


def test_a_sender_that_stalls_ends_its_turn_and_may_continue():
    """The turn ends meanwhile, and media time advances, although the sender's timestamps stopped."""

    async def main():
        voice = Voice(tone(30.0))

        async def stall(client, receiver, chunks):
            await until(lambda: len(chunks) > 25)
            voice.flowing.clear()
            await until(lambda: not len(chunks[-1].pcm))
            voice.flowing.set()
            await until(lambda: len(chunks[-1].pcm))
            receiver.end()

        return await session(stall, voice)

    chunks = asyncio.run(main())
    marks = [at for at, chunk in enumerate(chunks) if not len(chunk.pcm)]
    assert len(marks) == 1
    before, mark, after = chunks[marks[0] - 1], chunks[marks[0]], chunks[marks[0] + 1]
    assert mark.start_s == pytest.approx(before.end_s + 1.0, abs=0.01)
    assert after.start_s > mark.start_s - 0.1


def test_a_stall_of_this_process_neither_ends_a_turn_nor_shifts_media_time():
    async def main():
        voice = Voice(tone(30.0))

        async def stall(client, receiver, chunks):
            await until(lambda: len(chunks) > 25)
            time.sleep(1.6)  # noqa: ASYNC251 - nothing runs, and nothing is taken from the socket
            heard = len(chunks)
            await until(lambda: len(chunks) > heard + 100)
            receiver.end()

        return await session(stall, voice)

    chunks = asyncio.run(main())
    assert all(len(chunk.pcm) for chunk in chunks)
    for before, after in zip(chunks, chunks[1:], strict=False):
        assert after.start_s == pytest.approx(before.end_s, abs=0.03)
