"""WebVTT captions (https://www.w3.org/TR/webvtt1/): `<v.joy maya>I'm home.`

In a voice span (section 4.2.2) classes follow the tag's name, and the annotation after a space is the speaker's name:
`<v.joy maya>`. `<v maya.joy>` would be legal too, but is a speaker called "maya.joy". Players style `::cue(.joy)`.
"""

import re
from collections.abc import Sequence

from engine.events import EmotionEvent
from engine.export.conversation import ExportedConversation, caption

# On black, as captions are shown.
COLOURS = {
    "neutral": "#ffffff", "surprise": "#3fc6cf", "fear": "#bb98ff", "sadness": "#7fb0ff", "joy": "#f2b93b",
    "disgust": "#93cc5e", "anger": "#ff8078",
}  # fmt: skip


def to_webvtt(conversations: Sequence[ExportedConversation]) -> str:
    """One cue per turn, its identifier that of the utterance."""
    (conversation,) = conversations
    present = dict.fromkeys(event.emotion for event in conversation.events)
    rules = "\n".join(f"::cue(.{_class(name)}) {{ color: {COLOURS[name]} }}" for name in present if name in COLOURS)
    style = f"STYLE\n{rules}\n\n" if rules else ""
    return f"WEBVTT\n\n{style}" + "\n".join(_cue(event) for event in conversation.events)


def _cue(event: EmotionEvent) -> str:
    start_ms = round(event.start_s * 1e3)
    end_ms = max(start_ms + 1, round(event.end_s * 1e3))
    identifier = " ".join(event.utterance.replace("-->", "->").split())
    classes = _class(event.emotion) + (".uncertain" if event.uncertain else "")
    voice = f"<v.{classes} {_escaped(event.speaker)}>"
    return f"{identifier}\n{_clock(start_ms)} --> {_clock(end_ms)}\n{voice}{_escaped(caption(event))}</v>\n"


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _class(label: str) -> str:
    return re.sub(r"[^\w-]", "-", label)


def _clock(ms: int) -> str:
    return f"{ms // 3_600_000:02}:{ms // 60_000 % 60:02}:{ms // 1000 % 60:02}.{ms % 1000:03}"
