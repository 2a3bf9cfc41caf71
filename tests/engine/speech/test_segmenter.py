from itertools import count

import numpy as np
import pytest

from engine.media import Track
from engine.speech.segmenter import Segmenter, SegmenterConfig
from engine.speech.turn import Turn, TurnResumed

WINDOW = 512
WINDOW_S = WINDOW / 16_000


def feed(segmenter: Segmenter, *stretches: tuple[float, float], level: float = 0.1) -> list[Turn | TurnResumed]:
    """Push (probability, seconds) stretches; each window's samples are `level`."""
    window = np.full(WINDOW, level, np.float32)
    return [t for p, s in stretches for _ in range(round(s / WINDOW_S)) for t in segmenter.push(window, p)]


def fresh(start_s: float = 0.0, **config: float) -> Segmenter:
    return Segmenter(Track("a", "ann"), SegmenterConfig(**config), count(1), start_s)


def test_a_turn_has_its_times_its_pre_roll_and_its_tail() -> None:
    segmenter = fresh(start_s=100.0, pre_roll_ms=96, tail_ms=64, end_silence_ms=480)
    (turn,) = feed(segmenter, (0.0, 3.2), (0.9, 1.6), (0.1, 3.2))
    assert (turn.turn_id, turn.speaker, turn.truncated) == (1, "ann", False)
    assert turn.start_s == pytest.approx(103.2)
    assert turn.end_s == pytest.approx(104.8)
    assert turn.decided_s == pytest.approx(105.28)
    assert len(turn.pcm) == (3 + 50 + 2) * WINDOW


def test_hysteresis_keeps_hesitation_inside_a_turn_and_noise_outside() -> None:
    segmenter = fresh()
    assert feed(segmenter, (0.45, 5.0)) == []
    assert segmenter.speaking_since_s is None
    (turn,) = feed(segmenter, (0.6, 0.64), (0.4, 0.64), (0.1, 0.32), (0.6, 0.64), (0.3, 1.0))
    assert turn.end_s - turn.start_s == pytest.approx(0.64 + 0.64 + 0.32 + 0.64)


def test_silence_that_is_known_gives_the_same_turns() -> None:
    one, other = fresh(pre_roll_ms=200), fresh(pre_roll_ms=200)
    rng, expected, found = np.random.default_rng(0), [], []
    for probability in (0.0, 0.9, 0.0, 0.6, 0.2, 0.0, 0.9):
        windows = rng.normal(0, 0.1, (rng.integers(1, 30), WINDOW)).astype(np.float32)
        expected += [turn for window in windows for turn in one.push(window, probability)]
        if probability:
            found += [turn for window in windows for turn in other.push(window, probability)]
        else:
            found += other.push_silence(windows)
    assert len(expected) > 1
    for turn, same in zip([*expected, *one.flush()], [*found, *other.flush()], strict=True):
        assert isinstance(turn, Turn)
        assert isinstance(same, Turn)
        assert (turn.start_s, turn.end_s, turn.decided_s) == (same.start_s, same.end_s, same.decided_s)
        np.testing.assert_array_equal(turn.pcm, same.pcm)
        assert one.progress == other.progress


def test_a_click_is_not_a_turn_and_gets_no_number() -> None:
    segmenter = fresh(min_speech_ms=200)
    assert feed(segmenter, (0.9, 0.096), (0.0, 0.32), (0.9, 0.064), (0.0, 1.0)) == []
    (turn,) = feed(segmenter, (0.9, 0.32), (0.0, 1.0))
    assert turn.turn_id == 1


def test_a_turn_of_maximum_length_is_cut_at_its_quietest_place_and_loses_nothing() -> None:
    segmenter = fresh(max_turn_s=4.8, pre_roll_ms=0, tail_ms=0)
    assert feed(segmenter, (0.9, 3.52)) == []
    assert feed(segmenter, (0.9, 0.096), level=0.001) == []  # a breath
    (first,) = feed(segmenter, (0.9, 1.28))
    assert first.truncated
    assert first.end_s == pytest.approx(3.52 + WINDOW_S, abs=WINDOW_S)
    (second,) = feed(segmenter, (0.9, 0.64), (0.0, 1.0))
    assert not second.truncated
    assert second.start_s == first.end_s
    assert second.end_s == pytest.approx(3.52 + 0.096 + 1.28 + 0.64, abs=WINDOW_S)
    assert len(first.pcm) + len(second.pcm) == round((second.end_s - first.start_s) * 16_000)


def test_monotonous_sound_without_a_quiet_place_is_cut_at_the_limit_and_its_end_is_kept() -> None:
    segmenter = fresh(max_turn_s=4.8)
    turns = feed(segmenter, (0.9, 4.896), (0.0, 1.0))
    assert [t.truncated for t in turns] == [True, False]
    assert turns[0].end_s == pytest.approx(4.8, abs=2 * WINDOW_S)
    assert turns[1].start_s == turns[0].end_s


def test_the_end_of_the_source_ends_a_turn_but_a_click_is_still_not_one() -> None:
    segmenter = fresh()
    assert feed(segmenter, (0.9, 0.64), (0.1, 0.32)) == []
    assert segmenter.speaking_since_s == 0.0
    (turn,) = segmenter.flush()
    assert turn.end_s == pytest.approx(0.64)
    assert turn.decided_s == pytest.approx(0.96)
    assert segmenter.flush() == []
    assert feed(segmenter, (0.9, 0.064)) == []
    assert segmenter.flush() == []


def test_interim_turns_grow_and_keep_their_start_and_number() -> None:
    segmenter = fresh(interim_ms=512, provisional_ms=192, tail_ms=128, min_speech_ms=200)
    turns = [it for it in feed(segmenter, (0.0, 0.32), (0.9, 0.64), (0.0, 0.5)) if isinstance(it, Turn)]
    assert [turn.stage for turn in turns] == ["interim", "provisional", "final"]
    assert turns[0].end_s - turns[0].start_s == pytest.approx(0.512)
    lengths = [len(turn.pcm) for turn in turns]
    assert lengths == sorted(lengths)
    assert len({turn.turn_id for turn in turns}) == 1


def test_a_provisional_turn_equals_the_final_one() -> None:
    segmenter = fresh(provisional_ms=192, tail_ms=128, end_silence_ms=480)
    assert feed(segmenter, (0.9, 0.096), (0.0, 0.32)) == []  # too short to be one yet
    guess, back, second, final = feed(segmenter, (0.9, 0.64), (0.0, 0.224), (0.9, 0.32), (0.0, 0.48))
    assert [guess.stage, second.stage, final.stage] == ["provisional", "provisional", "final"]
    assert back == TurnResumed(guess.turn_id)
    assert guess.turn_id == second.turn_id == final.turn_id == 1
    assert guess.decided_s == pytest.approx(guess.end_s + 0.192)
    assert len(guess.pcm) < len(second.pcm)
    np.testing.assert_array_equal(second.pcm, final.pcm)
    assert (second.start_s, second.end_s) == (final.start_s, final.end_s)


def test_a_provisional_end_does_not_outlast_a_cut() -> None:
    segmenter = fresh(provisional_ms=192, max_turn_s=3.2)
    guess, cut = feed(segmenter, (0.9, 2.944), (0.0, 0.256))
    assert (guess.stage, cut.stage, cut.truncated) == ("provisional", "final", True)
    assert guess.turn_id == cut.turn_id
    guess, final = feed(segmenter, (0.9, 0.64), (0.0, 0.5))
    assert guess.turn_id == final.turn_id == 2


def test_interim_turns_come_at_a_steady_interval_while_somebody_speaks() -> None:
    turns = feed(fresh(interim_ms=992, pre_roll_ms=0), (0.9, 3.2), (0.0, 1.0))
    assert [(turn.stage, turn.turn_id) for turn in turns] == [("interim", 1)] * 3 + [("final", 1)]
    for n, turn in enumerate(turns[:3]):
        assert len(turn.pcm) == 31 * (n + 1) * WINDOW
        assert (turn.start_s, turn.end_s) == (0.0, turn.decided_s)


def test_an_hour_of_silence_takes_no_memory() -> None:
    segmenter = fresh(pre_roll_ms=200)
    assert feed(segmenter, (0.1, 3600.0)) == []
    assert len(segmenter._before) <= 8


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold_on": 0.2},
        {"tail_ms": 600.0},
        {"max_turn_s": 1.0},
        {"threshold_off": -1.0},
        {"provisional_ms": 100.0},
    ],
)
def test_a_configuration_that_cannot_work_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="must|cannot"):
        SegmenterConfig(**wrong)


def test_the_silence_that_ends_a_provisional_turn_can_be_changed_for_this_pause_only() -> None:
    segmenter = fresh(provisional_ms=192, tail_ms=128, end_silence_ms=480)
    (guess,) = feed(segmenter, (0.9, 0.64), (0.0, 0.192))
    segmenter.end_after(guess.turn_id + 1, 224)  # of another turn: ignored
    assert feed(segmenter, (0.0, 0.064)) == []
    segmenter.end_after(guess.turn_id, 800)
    assert feed(segmenter, (0.0, 0.512)) == []  # 768 ms
    resumed, again = feed(segmenter, (0.9, 0.32), (0.0, 0.192))
    assert isinstance(resumed, TurnResumed)
    segmenter.end_after(again.turn_id, 224)
    (final,) = feed(segmenter, (0.0, 0.032))
    assert (final.stage, final.turn_id) == ("final", guess.turn_id)
    assert np.array_equal(final.pcm, again.pcm)
    _, last = feed(segmenter, (0.9, 0.64), (0.0, 0.48))  # the next pause has the usual length again
    assert last.decided_s - last.end_s == pytest.approx(0.48)


def test_a_silence_that_is_long_enough_already_ends_the_turn_without_another_window() -> None:
    segmenter = fresh(provisional_ms=192, tail_ms=128, end_silence_ms=480)
    assert segmenter.settle() == []
    (guess,) = feed(segmenter, (0.9, 0.64), (0.0, 0.32))
    assert segmenter.settle() == []
    segmenter.end_after(guess.turn_id, 352)  # one window more than there is
    assert segmenter.settle() == []
    segmenter.end_after(guess.turn_id, 320)
    (final,) = segmenter.settle()
    assert (final.stage, final.turn_id, final.end_s) == ("final", guess.turn_id, guess.end_s)
    assert final.decided_s - final.end_s == pytest.approx(0.32)
    assert np.array_equal(final.pcm, guess.pcm)
    assert segmenter.settle() == []
    _, following = feed(segmenter, (0.0, 0.64), (0.9, 0.64), (0.0, 0.48))
    assert following.turn_id == 2


@pytest.mark.parametrize(("asked_ms", "windows"), [(400, 12), (416, 13), (500, 16), (1000, 31)])
def test_silence_is_measured_to_the_nearest_window(asked_ms: float, windows: int) -> None:
    (turn,) = feed(fresh(end_silence_ms=asked_ms), (0.9, 0.64), (0.0, 1.2))
    assert turn.decided_s - turn.end_s == pytest.approx(windows * WINDOW_S)
