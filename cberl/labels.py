"""Label sets, and the names of the labels in other vocabularies."""

from dataclasses import dataclass

BIG6_URI = "http://www.w3.org/TR/emotion-voc/xml#big6"


@dataclass(frozen=True, slots=True)
class Emotion:
    """One label, with its name in EmotionML's big6 and in hri_msgs/Expression.

    `valence` and `arousal`, in -1..1, are coarse values set by hand after the circumplex of Russell (1980).
    """

    name: str
    big6: str | None
    hri: str
    valence: float
    arousal: float


_EMOTIONS = (
    Emotion("neutral", None, "neutral", 0.0, 0.0),
    Emotion("surprise", "surprise", "surprised", 0.2, 0.7),
    Emotion("fear", "fear", "scared", -0.7, 0.7),
    Emotion("sadness", "sadness", "sad", -0.7, -0.4),
    Emotion("joy", "happiness", "happy", 0.8, 0.5),
    Emotion("disgust", "disgust", "disgusted", -0.7, 0.3),
    Emotion("anger", "anger", "angry", -0.6, 0.8),
    Emotion("happiness", "happiness", "happy", 0.8, 0.5),
    Emotion("excitement", "happiness", "excited", 0.7, 0.8),
    Emotion("frustration", "anger", "annoyed", -0.6, 0.5),
)
EMOTIONS = {emotion.name: emotion for emotion in _EMOTIONS}

# The index in a tuple is the class index in a checkpoint.
MELD = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
IEMOCAP6 = ("happiness", "sadness", "neutral", "anger", "excitement", "frustration")
IEMOCAP4 = ("happiness", "sadness", "neutral", "anger")


def valence_arousal(probabilities: dict[str, float]) -> tuple[float, float]:
    """Expected valence and arousal under a distribution over labels; both are 0 for an unknown label."""
    known = [(p, EMOTIONS[name]) for name, p in probabilities.items() if name in EMOTIONS]
    return sum(p * emotion.valence for p, emotion in known), sum(p * emotion.arousal for p, emotion in known)
