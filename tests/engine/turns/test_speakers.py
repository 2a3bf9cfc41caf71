from dataclasses import replace

import numpy as np

from engine.messages import Float32
from engine.turns.speakers import Corrections, OnlineSpeakers, Relabel, SpeakersConfig
from tests.engine.counting import utterance

ANN, BOB = np.eye(8, dtype=np.float32)[:2]


def between(share: float) -> Float32:
    """A voice so far from ann's towards bob's."""
    mixed = (1 - share) * ANN + share * BOB
    voice: Float32 = mixed / np.linalg.norm(mixed)
    return voice


def test_voices_are_told_apart_however_often_they_change() -> None:
    speakers = OnlineSpeakers()
    rng = np.random.default_rng(0)
    who = rng.integers(0, 2, 40)
    noisy = [voice / np.linalg.norm(voice) for voice in (between(float(one)) + rng.normal(0, 0.05, 8) for one in who)]
    said = [speakers.push(n, voice.astype(np.float32), 2.0) for n, voice in enumerate(noisy)]
    first = who[0]
    assert [number for number, _ in said] == [1 if one == first else 2 for one in who]
    assert all(relabels == [] for _, relabels in said)


def test_short_speech_makes_nobody_new_and_teaches_nothing() -> None:
    speakers = OnlineSpeakers(SpeakersConfig(evidence_s=1.0))
    assert speakers.push(1, ANN, 2.0) == (1, [])
    for n in range(2, 20):
        assert speakers.push(n, BOB, 0.5) == (1, [])
    assert speakers.push(20, BOB, 1.5) == (2, [])  # now there is evidence
    assert speakers.push(21, between(0.9), 0.3) == (2, [])


def test_the_first_one_heard_is_somebody_however_short() -> None:
    assert OnlineSpeakers().push(1, ANN, 0.1) == (1, [])


def test_two_who_turn_out_to_be_one_are_merged_and_their_turns_relabelled() -> None:
    speakers = OnlineSpeakers(SpeakersConfig(same=0.8, merge=0.88))
    assert speakers.push(1, between(0.0), 1.0) == (1, [])
    assert speakers.push(2, between(0.5), 1.0) == (2, [])
    assert speakers.push(3, between(0.28), 5.0) == (1, [Relabel(2, 1)])
    assert speakers.push(4, between(0.5), 1.0) == (1, [])


def test_memory_is_bounded() -> None:
    config = SpeakersConfig(max_speakers=3, memory_turns=10)
    speakers = OnlineSpeakers(config)
    voices = np.eye(8, dtype=np.float32)
    numbers = [speakers.push(n, voices[n % 8], 2.0)[0] for n in range(1000)]
    assert set(numbers) == {1, 2, 3}
    assert len(speakers._turns) == 10


def test_a_corrected_event_is_the_same_utterance_in_a_new_revision() -> None:
    corrections = Corrections(memory_turns=2)
    events = {n: utterance(speaker="room-2", text=str(n)) for n in (1, 2, 3)}
    for n, event in events.items():
        corrections.remember(n, event)
    assert corrections.correct(1, "room-1") is None  # too long ago
    once, twice = corrections.correct(2, "room-1"), corrections.correct(2, "room-3")
    assert once == replace(events[2], speaker="room-1", status="corrected", revision=1)
    assert twice == replace(events[2], speaker="room-3", status="corrected", revision=2)
