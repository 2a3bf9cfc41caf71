import asyncio
from array import array
from dataclasses import asdict

import numpy as np
import pytest
from cberl_client import (
    Backoff,
    Caption,
    ClientError,
    ConnectionLostError,
    EmotionEvent,
    Error,
    RefusedError,
    SessionEnded,
    publish_audio,
    sync,
)

from engine.media import Caption as EngineCaption
from testing.counting import running
from testing.scissors import Scissors

LOUD, QUIET = np.full(1600, 700, np.int16), np.zeros(1600, np.int16)
TURN = np.concatenate([LOUD, QUIET])


async def heard(url, audio, **options):
    return [message async for message in publish_audio(url, "demo", audio, proxy=None, **options)]


def turns(messages):
    return [(it.speaker, it.text, it.start_s) for it in messages if isinstance(it, EmotionEvent)]


@pytest.mark.parametrize(
    "pcm",
    [TURN, TURN.astype("<i2").tobytes(), array("h", TURN.tolist()), (TURN / 32_767).astype(np.float32), TURN / 32_767],
    ids=["int16", "bytes", "array", "float32", "float64"],
)
def test_samples_of_any_kind_are_the_same_to_the_engine(pcm):
    async def main():
        async with running() as (engine, url):
            messages = await heard(url, {"alice": pcm}, start_s=3.0)
            assert turns(messages) == [("alice", "700", 3.0)]
            assert messages[-1] == SessionEnded("demo", pytest.approx(0.2), 0)

    asyncio.run(main())


def test_recordings_are_sent_in_step_and_live_pieces_keep_their_time():
    async def pieces():
        yield TURN[:2000]
        yield TURN[2000:]
        yield 5.0, TURN

    async def main():
        async with running() as (_, url):
            together = await heard(url, {"alice": TURN, "bob": np.tile(TURN // 2, 2)})
            assert turns(together) == [("alice", "700", 0.0), ("bob", "350", 0.0), ("bob", "350", 0.2)]
            live = await heard(url, {"carol": pieces(), "alice": TURN})
            assert [it for it in turns(live) if it[0] == "carol"] == [("carol", "700", 0.0), ("carol", "700", 5.0)]

    asyncio.run(main())


def test_captions_come_once_their_words_were_said_or_when_they_are_there():
    said = [Caption(0.0, 0.05, "oh"), Caption(0.1, 0.3, "my god", "en", 0.5)]

    async def live():
        yield Caption(0.0, 0.1, "yes")

    async def main():
        async with running() as (engine, url):
            audio = {"alice": np.tile(TURN, 2), "bob": TURN}
            messages = await heard(url, audio, captions={"alice": said, "bob": live()})
            assert messages[-1] == SessionEnded("demo", pytest.approx(0.6), 0)
            of_alice = [caption for speaker, caption in engine.captions if speaker == "alice"]
            assert of_alice == [EngineCaption(**asdict(it)) for it in said]
            assert [caption.text for speaker, caption in engine.captions if speaker == "bob"] == ["yes"]
            assert not [it for it in messages if isinstance(it, Error)]
            with pytest.raises(ClientError, match="missing for carol"):
                await heard(url, {"alice": TURN}, captions={"carol": said})

    asyncio.run(main())


def test_a_no_a_hang_up_and_bad_samples_are_told_apart():
    async def silence():
        yield TURN
        await asyncio.Event().wait()

    async def main():
        async with running() as (engine, url):
            with pytest.raises(RefusedError, match="All slots are taken"):
                await heard(url, {"mallory": TURN})
            for bad in (TURN.reshape(2, -1), TURN.astype(np.int32), "sound", b"\x00", np.array([np.nan])):
                with pytest.raises(ClientError, match=r"Audio is|Samples are|not whole|not a finite"):
                    await heard(url, {"alice": bad})
            with pytest.raises(ConnectionLostError, match="cannot be reached"):
                await heard("http://127.0.0.1:1", {"alice": TURN})
            scissors = Scissors(url, [600])
            async with scissors.open() as cut_url:
                with pytest.raises(ConnectionLostError, match="closed the connection"):
                    await heard(cut_url, {"alice": silence()}, resume_s=0)
                assert scissors.cuts == 1

    asyncio.run(main())


def test_without_asyncio_it_is_the_same():
    async def main():
        async with running() as (_, url):
            messages = await asyncio.to_thread(
                lambda: list(sync.publish_audio(url, "demo", {"alice": TURN}, proxy=None))
            )
            assert turns(messages) == [("alice", "700", 0.0)]

    asyncio.run(main())


def test_a_session_continues_on_another_connection_wherever_the_last_one_was_cut():
    """The engine receives every sample and caption once, and the caller sees every event once."""
    turns_of = 12
    audio = np.concatenate([np.concatenate([LOUD + number, QUIET]) for number in range(turns_of)])
    captions = [Caption(0.2 * number, 0.2 * number + 0.1, str(number)) for number in range(turns_of)]

    async def live():
        for at in range(0, len(audio), 800):
            yield audio[at : at + 800]

    async def main(lengths):
        async with running() as (engine, url):
            scissors = Scissors(url, lengths)
            async with scissors.open() as through:
                given = {"alice": audio, "bob": live()}
                backoff = Backoff(0.01, 0.02)
                messages = await heard(through, given, captions={"alice": captions}, backoff=backoff)
            return messages, [caption.text for _, caption in engine.captions], scissors.cuts

    whole, words, _ = asyncio.run(main([]))
    assert len(turns(whole)) == 2 * turns_of
    for lengths in ([900], [1200, 900, 1500], [2500, 3000]):
        messages, said, cuts = asyncio.run(main(lengths))
        assert cuts == len(lengths)
        assert sorted(turns(messages)) == sorted(turns(whole))
        assert said == words
        assert messages[-1] == whole[-1]
        numbers = [message.seq for message in messages if hasattr(message, "seq")]
        assert numbers == list(range(1, len(numbers) + 1))


def test_a_session_that_the_engine_has_given_up_is_reported():
    async def main():
        async with running(rejoin_grace_s=0.01) as (_, url):
            scissors = Scissors(url, [900])
            async with scissors.open() as through:
                with pytest.raises(ConnectionLostError, match="no longer has the session"):
                    await heard(through, {"alice": np.tile(TURN, 20)}, backoff=Backoff(0.5, 0.5))

    asyncio.run(main())
