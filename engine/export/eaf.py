"""ELAN annotation files (EAF 3.0): per speaker a tier of words, and on it one of emotions and one of confidences.

https://www.mpi.nl/tools/elan/EAF_Annotation_Format_3.0_and_ELAN.pdf
"""

import itertools
import mimetypes
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from engine.events import EmotionEvent
from engine.export.conversation import ExportedConversation, tier, words

_SCHEMA = "http://www.mpi.nl/tools/elan/EAFv3.0.xsd"
_ON_TURNS: dict[str, Callable[[EmotionEvent], str]] = {
    "emotion": lambda event: event.emotion,
    "confidence": lambda event: f"{event.confidence:.2f}",
}


def to_eaf(conversations: Sequence[ExportedConversation]) -> str:
    """Emotions and confidences are symbolic associations of the turns."""
    made_at = datetime.now(UTC)
    (conversation,) = conversations
    root = Element("ANNOTATION_DOCUMENT", {
        "AUTHOR": "CBERL Engine", "DATE": made_at.isoformat(timespec="seconds"), "FORMAT": "3.0", "VERSION": "3.0",
        "xmlns:xsi": "http://www.w3.org/2001/XMLSchema-instance", "xsi:noNamespaceSchemaLocation": _SCHEMA,
    })  # fmt: skip
    header = SubElement(root, "HEADER", MEDIA_FILE="", TIME_UNITS="milliseconds")
    if conversation.media:
        _add_media(header, Path(conversation.media))
    slots = SubElement(root, "TIME_ORDER")
    ids = (f"a{number}" for number in itertools.count(1))
    for speaker in conversation.speakers:
        _add_tiers(root, slots, ids, conversation, speaker)
    SubElement(root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID="turn", TIME_ALIGNABLE="true", GRAPHIC_REFERENCES="false")
    for name in _ON_TURNS:
        SubElement(
            root, "LINGUISTIC_TYPE", LINGUISTIC_TYPE_ID=name, TIME_ALIGNABLE="false", GRAPHIC_REFERENCES="false",
            CONSTRAINTS="Symbolic_Association",
        )  # fmt: skip
    SubElement(
        root, "CONSTRAINT", STEREOTYPE="Symbolic_Association", DESCRIPTION="1-1 association with a parent annotation"
    )
    indent(root)
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, encoding="unicode") + "\n"


def _add_media(header: Element, path: Path) -> None:
    kind = mimetypes.guess_type(path.name)[0] or "application/octet-stream"
    relative = f"./{path.name}"
    SubElement(
        header, "MEDIA_DESCRIPTOR", MEDIA_URL=path.resolve().as_uri(), MIME_TYPE=kind, RELATIVE_MEDIA_URL=relative
    )


def _add_tiers(
    root: Element, slots: Element, ids: Iterator[str], conversation: ExportedConversation, speaker: str
) -> None:
    turns = SubElement(root, "TIER", LINGUISTIC_TYPE_REF="turn", PARTICIPANT=speaker, TIER_ID=speaker)
    placed: list[tuple[str, EmotionEvent]] = []
    for it in tier(conversation, speaker):
        bounds = []
        for at_ms in (it.start_ms, it.end_ms):
            bounds.append(f"ts{len(slots) + 1}")
            SubElement(slots, "TIME_SLOT", TIME_SLOT_ID=bounds[-1], TIME_VALUE=str(at_ms))
        name = next(ids)
        held = SubElement(SubElement(turns, "ANNOTATION"), "ALIGNABLE_ANNOTATION", ANNOTATION_ID=name)
        held.set("TIME_SLOT_REF1", bounds[0])
        held.set("TIME_SLOT_REF2", bounds[1])
        SubElement(held, "ANNOTATION_VALUE").text = words(it.event)
        placed.append((name, it.event))
    for kind, value in _ON_TURNS.items():
        on_turns = SubElement(
            root, "TIER", LINGUISTIC_TYPE_REF=kind, PARENT_REF=speaker, PARTICIPANT=speaker, TIER_ID=f"{speaker}/{kind}"
        )
        for parent, event in placed:
            annotation = SubElement(on_turns, "ANNOTATION")
            held = SubElement(annotation, "REF_ANNOTATION", ANNOTATION_ID=next(ids), ANNOTATION_REF=parent)
            SubElement(held, "ANNOTATION_VALUE").text = value(event)
