"""The formats by name, and the one that the suffix of a file stands for."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import PurePath

from engine.errors import EngineError
from engine.export.conversation import ExportedConversation
from engine.export.csv_table import to_csv
from engine.export.eaf import to_eaf
from engine.export.html_report import to_html
from engine.export.json_lines import to_json_lines
from engine.export.srt import to_srt
from engine.export.textgrid import to_textgrid
from engine.export.webvtt import to_webvtt


class ExportError(EngineError):
    """What was asked for cannot be written. The message says what to do."""


@dataclass(frozen=True, slots=True)
class Format:
    """`write` takes exactly one conversation, unless `several` fit into one file. `suffixes`: the first is written."""

    name: str
    suffixes: tuple[str, ...]
    media_type: str
    write: Callable[[Sequence[ExportedConversation]], str]
    several: bool = False


FORMATS = {
    it.name: it
    for it in (
        Format("jsonl", (".jsonl", ".ndjson"), "application/jsonl", to_json_lines, several=True),
        Format("csv", (".csv",), "text/csv", to_csv, several=True),
        Format("vtt", (".vtt",), "text/vtt", to_webvtt),
        Format("srt", (".srt",), "application/x-subrip", to_srt),
        Format("textgrid", (".TextGrid",), "text/plain", to_textgrid),
        Format("eaf", (".eaf",), "application/xml", to_eaf),
        Format("html", (".html", ".htm"), "text/html", to_html),
    )
}


def format_of(path: PurePath) -> Format:
    """By the suffix. Raises ExportError."""
    for it in FORMATS.values():
        if path.suffix.lower() in (suffix.lower() for suffix in it.suffixes):
            return it
    known = ", ".join(it.suffixes[0] for it in FORMATS.values())
    raise ExportError(f"{path}: the suffix names no format: use one of {known}, or --format")
