"""Who spoke is known better later: then all is as if it had been known from the start."""

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from cberl.checkpoint_files import STARTER
from cberl.encoders.audio import DescribedAudio
from cberl.encoders.bundle import Encoders, load_checkpoint_and_encoders
from cberl.encoders.conversation import ConversationHistory
from cberl.encoders.prosody import PROSODY_NAMES
from cberl.encoders.text import TextInput
from cberl.live_checkpoint import LiveCheckpoint
from cberl.types import Float32
from engine.conversation.classifier import EmotionClassifier, GraphRequest, GraphResult, run_graph
from engine.conversation.recognizer import ConversationRecognizer
from engine.conversation.turn_analysis import TurnAnalysis
from engine.conversation.utterance_encoder import UtteranceEncoder
from engine.events import EmotionEvent
from engine.media import Track
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

SAID = [
    "how could you do that",
    "i am so sorry",
    "fine",
    "no it is not fine",
    "what a wonderful day",
    "well",
    "go away",
]
TURNS = 24  # three times the graph's window
VOICE = np.ones(1, np.float32)


@pytest.fixture(scope="module")
def starter() -> tuple[LiveCheckpoint, Encoders]:
    return load_checkpoint_and_encoders(STARTER)


def conversation(names: list[str], dim: int) -> list[TurnAnalysis]:
    """The same words and voices, whoever is said to have spoken them."""
    rng = np.random.default_rng(0)
    heard = []
    for n, name in enumerate(names):
        raw = rng.normal(0, 1, dim).astype(np.float32)
        raw[: len(PROSODY_NAMES)] = np.abs(raw[: len(PROSODY_NAMES)]) * 100
        turn = Turn(n, Track(name, name), float(n), n + 1.0, np.zeros(16_000, np.float32), decided_s=n + 1.5)
        heard.append(
            TurnAnalysis(
                turn, Transcript(SAID[n % len(SAID)], "en", None, "test"), DescribedAudio(raw), None, {}, VOICE
            )
        )
    return heard


def recognizer(
    checkpoint: LiveCheckpoint, encoders: Encoders, asked: list[TextInput], *, because: bool = False
) -> ConversationRecognizer:
    async def encode(one: TextInput) -> Float32:
        asked.append(one)
        return encoders.text.encode([one])[0]

    async def graph(request: GraphRequest) -> GraphResult:
        return run_graph(checkpoint, [request])[0]

    utterance_encoder = UtteranceEncoder(encode, ConversationHistory(encoders.text.prompt, encoders.audio.history()))
    return ConversationRecognizer(utterance_encoder, EmotionClassifier("talk", checkpoint, graph, because=because))


def test_after_a_merge_results_equal_those_with_the_right_speakers_from_the_start(
    starter: tuple[LiveCheckpoint, Encoders],
) -> None:
    """Bob was taken for Eve at first: in turns that the graph's window has left long since, and in others."""
    right = ["ann" if n % 2 else "bob" for n in range(TURNS)]
    wrong = ["eve" if n in (2, 4, 10, 18, 20) else name for n, name in enumerate(right)]
    dim = starter[1].audio.config.raw_dim

    async def main() -> tuple[list[EmotionEvent], dict[int, EmotionEvent], list[EmotionEvent], list[int]]:
        from_the_start = recognizer(*starter, [])
        wanted = [await from_the_start.recognize(it) for it in conversation(right, dim)]
        asked: list[TextInput] = []
        corrected_late = recognizer(*starter, asked)
        *before, last = conversation(wrong, dim)
        told = [await corrected_late.recognize(it) for it in before]
        encoded = len(asked)
        others = await corrected_late.relabel_speakers({n: "bob" for n, name in enumerate(wrong) if name == "eve"})
        again = len(asked) - encoded
        told.append(await corrected_late.recognize(last))
        return wanted, others, told, [encoded, again]

    wanted, others, told, (encoded, again) = asyncio.run(main())
    assert told[-1].probabilities == pytest.approx(wanted[-1].probabilities, abs=1e-4)
    assert told[-1].shift == wanted[-1].shift
    assert {n for n, name in enumerate(wrong) if name == "eve"} <= others.keys()
    for n, event in enumerate(told):
        latest = others.get(n, event)
        assert (latest.speaker, latest.emotion) == (wanted[n].speaker, wanted[n].emotion)
    for n, event in others.items():
        assert event.probabilities == pytest.approx(wanted[n].probabilities, abs=1e-4)
    assert max(abs(told[-2].probabilities[name] - p) for name, p in wanted[-2].probabilities.items()) > 1e-3
    assert 0 < again < encoded  # words whose context is the same are not encoded again


def test_an_utterance_that_got_another_speaker_is_known_by_the_name_under_which_it_was_published(
    starter: tuple[LiveCheckpoint, Encoders],
) -> None:
    async def main() -> tuple[dict[int, EmotionEvent], list[EmotionEvent]]:
        one = recognizer(*starter, [], because=True)
        *before, last = conversation(["ann", "eve", "ann", "eve", "ann"], starter[1].audio.config.raw_dim)
        published = [await one.recognize(it) for it in before]
        corrected = await one.relabel_speakers({1: "bob", 3: "bob"})
        return corrected, [*published, await one.recognize(last)]

    corrected, (*published, last) = asyncio.run(main())
    names = {event.utterance for event in published}
    assert {event.utterance for event in corrected.values()} == {"talk/eve/1", "talk/eve/3"}
    assert {event.speaker for event in corrected.values()} == {"bob"}
    assert {it.utterance for it in last.because} == names


def test_turns_beyond_the_memory_are_not_relabelled_and_memory_is_bounded(
    starter: tuple[LiveCheckpoint, Encoders],
) -> None:
    async def main() -> tuple[dict[int, EmotionEvent], int]:
        one = recognizer(*starter, [])
        for it in conversation(["ann"] * 70, starter[1].audio.config.raw_dim):
            await one.recognize(it)
        return await one.relabel_speakers({2: "bob"}), len(one._recognized)

    assert asyncio.run(main()) == ({}, 64)


def test_without_speaker_embeddings_no_history_is_kept(starter: tuple[LiveCheckpoint, Encoders]) -> None:
    async def main() -> int:
        one = recognizer(*starter, [])
        for it in conversation(["ann"] * 3, starter[1].audio.config.raw_dim):
            await one.recognize(replace(it, speaker_embedding=None))
        return len(one._recognized)

    assert asyncio.run(main()) == 0
