"""Control messages of a publisher: their limits, checked before anything is made of them, and captions. No sockets."""

import math
from collections.abc import Iterator

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from engine.events import Error
from engine.media import Caption

MAX_CONTROL_BYTES = 64 << 10
MAX_INTEGER = 1 << 53  # larger ones are not exact in JSON
MAX_CAPTION = 2_000  # characters: more than one turn has
CAPTIONS, CAPTIONS_PER_S = 256, 10.0  # of one track at once, and per second of its audio
CAPTION_BYTES, CAPTION_BYTES_PER_S = 64 << 10, 400.0  # fast speech is 30


def parse_control(text: str) -> dict[str, object] | Error:
    """The object in a text message, whose numbers are all finite; or what is wrong with it."""
    try:
        body = from_json(text)
    except ValueError as error:
        return Error("bad_json", f"A text message is one JSON object: {error}.")
    if not isinstance(body, dict):
        return Error("bad_json", f"A text message is one JSON object, not {type(body).__name__}.")
    if not all(map(_is_sane, _numbers(body))):
        return Error("bad_json", "A number in a text message is finite, an integer at most 2^53.")
    return body


def read_caption(body: dict[str, object], latest_s: float) -> Caption | Error:
    """The caption in a message, or what is wrong with it. It may not end after the media time `latest_s`."""
    text, language = body.get("text"), body.get("language", "")
    if isinstance(text, str) and isinstance(language, str) and (len(text) > MAX_CAPTION or len(language) > 64):
        return Error("bad_caption", f"A caption has at most {MAX_CAPTION} characters, its language 64.")
    try:
        caption = _CAPTION.validate_python(body)
    except ValidationError as error:
        first = error.errors()[0]
        return Error("bad_caption", f"caption: {'.'.join(map(str, first['loc']))}: {first['msg']}.")
    if not 0 <= caption.start_s <= caption.end_s <= latest_s:
        return Error("bad_media_time", "A caption's start_s and end_s are media time, start_s first.")
    if caption.confidence is not None and not 0 <= caption.confidence <= 1:
        return Error("bad_caption", f"A caption's confidence is from 0 to 1, not {caption.confidence:g}.")
    return caption


class CaptionRate:
    """Whether a track has sent more captions than people can speak. Counts on media time."""

    def __init__(self) -> None:
        self._captions = 0
        self._bytes = 0

    def problem(self, caption: Caption, heard_s: float) -> Error | None:
        """Why this caption is ignored, or None. `heard_s`: how much of the track's audio has come so far."""
        size = len(caption.text.encode())
        captions, text = CAPTIONS + CAPTIONS_PER_S * heard_s, CAPTION_BYTES + CAPTION_BYTES_PER_S * heard_s
        if self._captions + 1 > captions or self._bytes + size > text:
            rate = f"{CAPTIONS_PER_S:.0f} captions and {CAPTION_BYTES_PER_S:.0f} bytes"
            return Error("too_many_captions", f"A track has at most {rate} of captions per second of its audio.")
        self._captions += 1
        self._bytes += size
        return None


_CAPTION = TypeAdapter(Caption)


def _numbers(value: object) -> Iterator[float]:
    """Of parsed JSON, whose depth the parser limits."""
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _numbers(inner)
    elif isinstance(value, int | float):
        yield value


def _is_sane(number: float) -> bool:
    return math.isfinite(number) if isinstance(number, float) else abs(number) <= MAX_INTEGER
