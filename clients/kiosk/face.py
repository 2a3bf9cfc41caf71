"""Faces for a terminal, and expressions for robots (`hri_msgs/Expression` of ROS4HRI). Pure."""

from typing import Any

EXPRESSIONS = {
    "neutral": "neutral",
    "surprise": "surprised",
    "fear": "scared",
    "sadness": "sad",
    "joy": "happy",
    "disgust": "disgusted",
    "anger": "angry",
    "happiness": "happy",
    "excitement": "excited",
    "frustration": "annoyed",
}
_EYES_AND_MOUTH = {
    "neutral": ("o   o", " --- "),
    "surprised": ("O   O", "  O  "),
    "scared": ("O   O", " ~~~ "),
    "sad": (".   .", " /-\\ "),
    "happy": ("^   ^", " \\_/ "),
    "disgusted": ("-   -", " ~-~ "),
    "angry": ("\\   /", " --- "),
    "excited": ("*   *", " \\O/ "),
    "annoyed": ("-   -", " -/- "),
}


def expression(event: dict[str, Any]) -> dict[str, Any]:
    """The fields of `hri_msgs/Expression`, from the JSON of an emotion event. Empty for an unknown label."""
    return {
        "expression": EXPRESSIONS.get(event["emotion"], ""),
        "valence": event["valence"],
        "arousal": event["arousal"],
        "confidence": event["confidence"],
    }


def face(name: str) -> str:
    """Four lines. The neutral face for an unknown expression."""
    eyes, mouth = _EYES_AND_MOUTH.get(name, _EYES_AND_MOUTH["neutral"])
    return f" .-------.\n | {eyes} |\n | {mouth} |\n '-------'"
