"""Events with default fields."""

from engine.events import EmotionEvent


def emotion(number=1, speaker="alice", emotion="joy", conversation="demo", confidence=0.9, **fields):
    """The speaker's utterance with this number; utterances start two seconds apart."""
    start_s = 2.0 * number
    given = {
        "conversation": conversation, "utterance": f"{conversation}/{speaker}/{number}", "speaker": speaker,
        "start_s": start_s, "end_s": start_s + 1, "text": f"words {number}", "emotion": emotion,
        "confidence": confidence, "probabilities": {"neutral": round(1 - confidence, 4), emotion: confidence},
        "valence": 0.5, "arousal": 0.5, "shift": None, "modalities": {"text": 1.0}, "vocabulary": "v", "model": "m",
        "timings_ms": {}, "lag_s": 0.0,
    }  # fmt: skip
    return EmotionEvent(**(given | fields))
