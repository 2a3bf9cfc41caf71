"""CSV for spreadsheets, pandas and R (RFC 4180, UTF-8): one line per turn, one column per emotion's probability."""

import csv
import io
from collections.abc import Sequence

from engine.events import EmotionEvent
from engine.export.conversation import ExportedConversation, words

COLUMNS = (
    *("conversation", "utterance", "speaker", "start_s", "end_s", "emotion", "confidence", "uncertain"),
    *("valence", "arousal", "text", "language", "backchannel", "vocal_events", "status", "revision", "model"),
)


def to_csv(conversations: Sequence[ExportedConversation]) -> str:
    """The turns of all conversations. Columns of probabilities are called p_ and the emotion."""
    rows = [(event, it.session) for it in conversations for event in it.events]
    labels = list(dict.fromkeys(label for event, _ in rows for label in event.probabilities))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow([*COLUMNS, "session", *(f"p_{label}" for label in labels)])
    for event, session in rows:
        probabilities = (event.probabilities.get(label, "") for label in labels)
        writer.writerow([*(_cell(event, column) for column in COLUMNS), session, *probabilities])
    return text.getvalue()


def _cell(event: EmotionEvent, column: str) -> object:
    if column == "text":
        return words(event)
    value = getattr(event, column)
    if isinstance(value, bool):
        return "true" if value else "false"
    return " ".join(value) if isinstance(value, tuple) else value
