"""From an utterance to an event: an absent modality stays absent, and a shift names the emotion before."""

import asyncio
import math

import numpy as np
import pytest
import torch

from cberl.calibration import Calibration
from cberl.config import ModelConfig
from cberl.live_checkpoint import LiveCheckpoint
from cberl.model import CBERL
from cberl.step.state import StepInput, initial_state
from cberl.streaming import TorchStep
from engine.conversation.classifier import EmotionClassifier, GraphRequest, GraphResult, Shifts, run_graph
from engine.conversation.utterance import Utterance
from engine.events import EmotionEvent, Shift
from engine.media import Track
from engine.speech.transcriber import Transcript
from engine.speech.turn import Turn

CONFIG = ModelConfig(text_dim=6, audio_dim=8, latent_dim=8, hidden_dim=8, heads=2)
RANDOM = np.random.default_rng(0)


def test_shifts_of_a_worked_example() -> None:
    shifts = Shifts()
    assert shifts.push("ann", "neutral") is None
    assert shifts.push("ann", "neutral") is None
    assert shifts.push("ann", "anger") == Shift("neutral", 1)
    assert shifts.push("bob", "joy") is None
    assert shifts.push("ann", "anger") == Shift("neutral", 2)
    assert shifts.push("ann", "joy") == Shift("anger", 1)


def checkpoint() -> LiveCheckpoint:
    torch.manual_seed(0)
    return LiveCheckpoint("tiny", TorchStep(CBERL(CONFIG).eval()), Calibration((0.0,) * 7, temperature=2.0), {})


def infer(*utterances: Utterance, because: bool = False) -> list[EmotionEvent]:
    tiny = checkpoint()

    async def graph(request: GraphRequest) -> GraphResult:
        return run_graph(tiny, [request])[0]

    async def main() -> list[EmotionEvent]:
        inference = EmotionClassifier("talk", tiny, graph, because=because)
        return [await inference.classify(utterance) for utterance in utterances]

    return asyncio.run(main())


def utterance(turn_id: int, text: str, *, audio: bool = True, language: str = "en") -> Utterance:
    turn = Turn(turn_id, Track("a", "ann"), 1.0, 2.0, np.zeros(16_000, np.float32), decided_s=2.5)
    vector = np.ones(6, np.float32) if text else None
    transcript = Transcript(text, language, 0.8, "test")
    return Utterance(turn, transcript, vector, np.ones(8, np.float32) if audio else None, None, vocal_events=("sigh",))


def test_an_event_is_complete() -> None:
    (event,) = infer(utterance(7, "well then"))
    assert (event.conversation, event.utterance, event.speaker) == ("talk", "talk/ann/7", "ann")
    assert math.isclose(sum(event.probabilities.values()), 1.0, abs_tol=1e-9)
    assert tuple(event.probabilities) == CONFIG.labels
    assert event.confidence == max(event.probabilities.values()) == event.probabilities[event.emotion]
    assert event.modalities == {"text": 0.8, "audio": 1.0, "visual": None}
    assert event.timings_ms["turn"] == 500.0
    assert (event.status, event.model, event.language) == ("final", "tiny", "en")
    assert event.vocal_events == ("sigh",)


@pytest.mark.parametrize(("language", "reliability"), [("de", 0.1), ("en-GB", 0.8), ("", 0.8)])
def test_text_in_a_language_that_the_encoder_does_not_read_is_unreliable(language: str, reliability: float) -> None:
    (event,) = infer(utterance(1, "na gut", language=language))
    assert (event.text, event.language, event.modalities["text"]) == ("na gut", language or None, reliability)


def test_without_words_the_text_is_absent_and_not_empty() -> None:
    (event,) = infer(utterance(1, ""))
    assert (event.text, event.language) == (None, None)
    assert event.modalities == {"text": None, "audio": 1.0, "visual": None}


def test_the_past_matters_and_sessions_do_not_share_it() -> None:
    alone = infer(utterance(1, "well"))[0]
    after_another = infer(utterance(1, "", audio=True), utterance(2, "well"))[1]
    assert after_another.probabilities != alone.probabilities
    assert infer(utterance(1, "well"))[0].probabilities == alone.probabilities


def test_a_final_names_the_earlier_turns_that_moved_it_and_is_otherwise_the_same() -> None:
    said = [utterance(n, "well" if n % 3 else "", audio=n % 2 == 0) for n in range(1, 13)]
    events, without = infer(*said, because=True), infer(*said)
    assert all(event.because == () for event in [events[0], *without])
    for event, other in zip(events, without, strict=True):
        assert event.probabilities == pytest.approx(other.probabilities, abs=1e-6)
    last = events[-1]
    assert {it.utterance for it in last.because} <= {f"talk/ann/{n}" for n in range(4, 12)}
    weights = [abs(it.weight) for it in last.because]
    assert len(weights) > 1
    assert weights == sorted(weights, reverse=True)
    assert [set(event.modality_weights) for event in events] == [
        {"text", "audio"} if n % 3 and n % 2 == 0 else set() for n in range(1, 13)
    ]
    assert not any(event.modality_weights for event in without)


def test_requests_with_and_without_explanation_share_a_batch() -> None:
    tiny = checkpoint()
    states = [initial_state(CONFIG)]
    asked = [StepInput(name, {"text": RANDOM.normal(size=6).astype(np.float32)}) for name in ("ann", "bob", "ann")]
    for one in asked:
        states.append(run_graph(tiny, [GraphRequest(states[-1], one)])[0].state)
    requests = [GraphRequest(state, asked[0], explain=explain) for state in states for explain in (True, False, True)]
    for together, request in zip(run_graph(tiny, requests), requests, strict=True):
        (alone,) = run_graph(tiny, [request])
        assert together.probabilities == pytest.approx(alone.probabilities, abs=1e-6)
        found = together.influences
        assert len(found.utterances) == (len(request.state.speakers) if request.explain else 0)
        assert found.utterances == pytest.approx(alone.influences.utterances, abs=1e-5)
        assert found.modalities == pytest.approx(alone.influences.modalities, abs=1e-5)
        np.testing.assert_allclose(together.state.layers, alone.state.layers, atol=1e-6)


def test_an_interim_event_does_not_change_the_state() -> None:
    tiny = checkpoint()

    async def graph(request: GraphRequest) -> GraphResult:
        return run_graph(tiny, [request])[0]

    async def main() -> list[EmotionEvent]:
        inference = EmotionClassifier("talk", tiny, graph)
        under_way = await inference.preview(utterance(1, ""))
        assert (under_way.status, under_way.text, under_way.shift) == ("interim", None, None)
        assert under_way.modalities == {"text": None, "audio": 1.0, "visual": None}
        return [await inference.classify(utterance(1, "well")), await inference.classify(utterance(2, "well"))]

    for event, undisturbed in zip(asyncio.run(main()), infer(utterance(1, "well"), utterance(2, "well")), strict=True):
        assert (event.probabilities, event.shift) == (undisturbed.probabilities, undisturbed.shift)
