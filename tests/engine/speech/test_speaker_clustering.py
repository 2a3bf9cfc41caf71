import numpy as np

from cberl.types import Float32
from engine.speech.speaker_clustering import OnlineSpeakers, Relabel, SpeakersConfig

ANN, BOB = np.eye(8, dtype=np.float32)[:2]


def between(share: float) -> Float32:
    """A voice so far from ann's towards bob's."""
    mixed = (1 - share) * ANN + share * BOB
    voice: Float32 = mixed / np.linalg.norm(mixed)
    return voice


def test_speakers_are_told_apart_however_often_they_alternate() -> None:
    speakers = OnlineSpeakers()
    rng = np.random.default_rng(0)
    who = rng.integers(0, 2, 40)
    noisy = [voice / np.linalg.norm(voice) for voice in (between(float(one)) + rng.normal(0, 0.05, 8) for one in who)]
    said = [speakers.push(n, voice.astype(np.float32), 2.0) for n, voice in enumerate(noisy)]
    first = who[0]
    assert [number for number, _ in said] == [1 if one == first else 2 for one in who]
    assert all(relabels == [] for _, relabels in said)


def test_short_speech_starts_no_speaker_and_changes_no_mean() -> None:
    speakers = OnlineSpeakers(SpeakersConfig(evidence_s=1.0))
    assert speakers.push(1, ANN, 2.0) == (1, [])
    for n in range(2, 20):
        assert speakers.push(n, BOB, 0.5) == (1, [])
    assert speakers.push(20, BOB, 1.5) == (2, [])  # now there is evidence
    assert speakers.push(21, between(0.9), 0.3) == (2, [])


def test_the_first_turn_starts_a_speaker_however_short() -> None:
    assert OnlineSpeakers().push(1, ANN, 0.1) == (1, [])


def test_two_similar_speakers_are_merged_and_their_turns_relabelled() -> None:
    speakers = OnlineSpeakers(SpeakersConfig(same=0.8, merge=0.88))
    assert speakers.push(1, between(0.0), 1.0) == (1, [])
    assert speakers.push(2, between(0.5), 1.0) == (2, [])
    assert speakers.push(3, between(0.28), 5.0) == (1, [Relabel(2, 1)])
    assert speakers.push(4, between(0.5), 1.0) == (1, [])


def test_one_turn_can_merge_three_speakers() -> None:
    speakers = OnlineSpeakers(SpeakersConfig(same=0.8, merge=0.86))
    corner = np.linalg.cholesky(np.full((3, 3), 0.79) + 0.21 * np.eye(3)).astype(np.float32)  # cosines of 0.79
    for turn_id, voice in enumerate(corner, 1):
        assert speakers.push(turn_id, voice, 1.0) == (turn_id, [])
    middle = corner.mean(axis=0) / np.linalg.norm(corner.mean(axis=0))
    assert speakers.push(4, middle, 1.0) == (1, [Relabel(2, 1), Relabel(3, 1)])
    assert speakers.numbers == {1}


def test_a_guess_equals_the_result_and_changes_nothing() -> None:
    speakers = OnlineSpeakers()
    rng = np.random.default_rng(1)
    for turn_id in range(40):
        voice, speech_s = between(rng.random()), float(rng.uniform(0.2, 3.0))
        guessed = [speakers.guess(voice, speech_s) for _ in range(2)]
        number, relabels = speakers.push(turn_id, voice, speech_s)
        assert relabels or guessed == [number, number]


def test_memory_is_bounded() -> None:
    config = SpeakersConfig(max_speakers=3, memory_turns=10)
    speakers = OnlineSpeakers(config)
    voices = np.eye(8, dtype=np.float32)
    numbers = [speakers.push(n, voices[n % 8], 2.0)[0] for n in range(1000)]
    assert set(numbers) == {1, 2, 3}
    assert len(speakers._turns) == 10
