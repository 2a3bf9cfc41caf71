from engine.delivery.change import ChangeDetector
from engine.events import ChangeRule
from testing.events import emotion


def changes(*turns, **config):
    """[(index of the turn, previous emotion, new emotion)] of alice's (emotion, confidence) turns of two seconds."""
    detector = ChangeDetector(ChangeRule(**({"confidence": 0.6, "turns": 2, "interval_s": 0.0} | config)))
    found = []
    for at, (label, confidence) in enumerate(turns):
        before = detector.push(emotion(at, emotion=label, confidence=confidence))
        if before is not None:
            found.append((at, before, label))
    return found


def test_a_confident_emotion_is_a_change_at_once_and_another_when_it_is_repeated():
    turns = [("neutral", 0.9), ("joy", 0.7), ("anger", 0.4), ("joy", 0.4), ("anger", 0.4), ("anger", 0.4)]
    assert changes(*turns) == [(1, "neutral", "joy"), (5, "joy", "anger")]


def test_alternating_emotions_of_low_confidence_are_no_change():
    assert changes(*[("joy", 0.5), ("fear", 0.5), ("anger", 0.5)] * 5) == []


def test_a_speaker_changes_at_most_once_per_interval_and_a_lasting_change_counts_then():
    turns = [("joy", 0.9), ("anger", 0.9), ("anger", 0.9), ("anger", 0.9), ("joy", 0.9)]
    assert changes(*turns, interval_s=5.0) == [(0, "neutral", "joy"), (3, "joy", "anger")]


def test_speakers_and_conversations_are_independent_and_only_finals_count():
    detector = ChangeDetector(ChangeRule())
    assert detector.push(emotion(1, status="interim")) is None
    assert detector.push(emotion(1, status="corrected")) is None
    assert detector.push(emotion(1)) == "neutral"
    assert detector.push(emotion(9)) is None
    assert detector.push(emotion(9, speaker="bob")) == "neutral"
    assert detector.push(emotion(9, conversation="other")) == "neutral"
    detector.forget("demo")
    assert detector.push(emotion(1)) == "neutral"  # media time has started again
