import pytest

from cberl.labels import EMOTIONS
from clients.kiosk.face import EXPRESSIONS, expression, face
from clients.kiosk.mood import Mood, MoodConfig, MoodDecider


def said(number, valence, **fields):
    return {"id": f"lobby/{number}@1", "status": "final", "valence": valence, "confidence": 1.0} | fields


def greetings(events, every_s=30.0, config=None):
    decider = MoodDecider(config)
    return [decider.push(event, number * every_s) for number, event in enumerate(events)]


def test_the_first_utterance_is_greeted_and_then_only_a_change_is():
    valences = [0.0, 0.1, 0.9, 0.9, 0.8, -0.9, -0.9, -0.9]
    assert greetings([said(n, valence) for n, valence in enumerate(valences)]) == [
        Mood.CALM, None, Mood.BRIGHT, None, None, Mood.CALM, Mood.LOW, None,
    ]  # fmt: skip


def test_between_the_two_limits_a_mood_stays():
    """Smoothing off: the values are 0.4 (in), then around 0.3, where it would never have begun."""
    config = MoodConfig(weight=1.0)
    wobble = [said(n, valence) for n, valence in enumerate([0.4, 0.3, 0.34, 0.2, 0.36, 0.16])]
    assert greetings(wobble, config=config) == [Mood.BRIGHT, None, None, None, None, None]
    assert greetings(wobble[1:4], config=config) == [Mood.CALM, None, None]


def test_greetings_keep_their_distance_and_what_is_still_true_then_is_said():
    config = MoodConfig(weight=1.0, pause_s=20)
    assert greetings([said(n, 0.9 if n else 0.0) for n in range(4)], every_s=8.0, config=config) == [
        Mood.CALM, None, None, Mood.BRIGHT,
    ]  # fmt: skip


def test_an_unsure_event_moves_less():
    decider = MoodDecider()
    decider.push(said(1, 0.9, confidence=0.1), 0.0)
    assert decider.valence == pytest.approx(0.045)


@pytest.mark.parametrize(
    "fields", [{"historical": True}, {"status": "interim"}, {"status": "corrected"}, {"id": "same"}]
)
def test_old_unfinished_and_repeated_events_change_nothing(fields):
    decider = MoodDecider()
    decider.push(said(1, -0.5, id="same"), 0.0)
    before = decider.valence
    assert decider.push(said(2, 0.9) | fields, 60.0) is None
    assert decider.valence == before


def test_after_a_long_silence_whoever_comes_is_greeted():
    decider = MoodDecider()
    assert [decider.push(said(n, 0.0), at_s) for n, at_s in enumerate([0.0, 100.0, 221.0])] == [
        Mood.CALM, None, Mood.CALM,
    ]  # fmt: skip


def test_a_robot_is_told_every_label_by_its_name_there():
    assert {name: emotion.hri for name, emotion in EMOTIONS.items()} == EXPRESSIONS
    event = {"emotion": "fear", "valence": -0.7, "arousal": 0.7, "confidence": 0.8, "text": "no"}
    assert expression(event) == {"expression": "scared", "valence": -0.7, "arousal": 0.7, "confidence": 0.8}


def test_each_expression_has_a_face_of_its_own_of_one_size():
    faces = {name: face(name) for name in EXPRESSIONS.values()}
    assert len(set(faces.values())) == len(faces)
    assert {tuple(map(len, drawn.splitlines())) for drawn in faces.values()} == {(10, 10, 10, 10)}
