"""Expression as https://github.com/ros4hri/hri_msgs defines it, with the checks of code that rosidl generates."""

from types import SimpleNamespace

EXPRESSIONS = {
    "neutral", "angry", "sad", "happy", "surprised", "disgusted", "scared", "pleading", "vulnerable", "despaired",
    "guilty", "disappointed", "embarrassed", "horrified", "skeptical", "annoyed", "furious", "suspicious", "rejected",
    "bored", "tired", "asleep", "confused", "amazed", "excited",
}  # fmt: skip
TYPES = {"expression": str, "valence": float, "arousal": float, "confidence": float}


class Expression:
    __slots__ = ("arousal", "confidence", "expression", "header", "valence")

    def __init__(self):
        super().__setattr__("header", SimpleNamespace(stamp=None, frame_id=""))
        for name, kind in TYPES.items():
            super().__setattr__(name, kind())

    def __setattr__(self, name, value):
        assert type(value) is TYPES[name]  # KeyError for a field that the message has not
        assert name != "expression" or value in EXPRESSIONS
        super().__setattr__(name, value)

    def fields(self):
        return {"stamp": self.header.stamp} | {name: getattr(self, name) for name in TYPES}
