"""Captions in place of speech to text: which are waited for, and how much of them a turn takes."""

import asyncio

import numpy as np

from cberl.types import SAMPLE_RATE, Float32
from engine.media import AudioChunk, Caption, Track
from engine.speech.captions import MAX_TEXT_BYTES, Captions
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

TRACK = Track("mic", "alice", captioned=True)
SECOND = np.zeros(SAMPLE_RATE, np.float32)


def turn(number: int) -> Turn:
    return Turn(number, TRACK, float(number), number + 1.0, SECOND, decided_s=number + 1.5)


def chunk(*captions: Caption) -> AudioChunk:
    return AudioChunk(TRACK, 0.0, SECOND, captions=captions)


async def transcribe(pcm: Float32) -> Transcript:
    return Transcript("recognised", "en", None, "test")


async def text_of(captions: Captions, number: int) -> str:
    return (await captions.instead_of(transcribe, turn(number))(SECOND)).text


def test_captions_that_are_promised_and_never_sent_are_not_waited_for_again_until_one_comes() -> None:
    async def main() -> None:
        captions = Captions(wait_s=0.0)
        captions.take_from(chunk())
        waited = []
        for number in range(5):
            waited.append(captions.expected("alice"))
            assert await text_of(captions, number) == "recognised"
        assert waited == [True, True, True, False, False]
        captions.take_from(chunk(Caption(9.0, 10.0, "Here I am.")))
        assert captions.expected("alice")
        assert await text_of(captions, 9) == "Here I am."

    asyncio.run(main())


def test_a_turn_takes_the_first_words_of_endless_captions() -> None:
    async def main() -> None:
        captions = Captions(wait_s=0.0)
        captions.take_from(chunk(*(Caption(1.0, 2.0, f"größer {number:012}") for number in range(255))))
        words = (await text_of(captions, 1)).split()
        assert words == [word for number in range(255) for word in ("größer", f"{number:012}")][: len(words)]
        assert MAX_TEXT_BYTES - 16 < len(" ".join(words).encode()) <= MAX_TEXT_BYTES
        captions.take_from(chunk(*[Caption(3.0, 4.0, "ß" * 2_000)] * 3))
        assert len((await text_of(captions, 3)).encode()) <= MAX_TEXT_BYTES

    asyncio.run(main())
