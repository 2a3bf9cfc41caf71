"""The publisher's protocol: what a WebSocket receives in, audio chunks and answers out. No sockets, no clock.

Text messages are JSON objects, told apart by `type`:

    {"type": "session.start", "tracks": [{"id": "mic", "speaker": "alice", "kind": "audio",
                                          "codec": "pcm_s16le", "sample_rate": 16000, "channels": 1}]}
    {"type": "session.end"}

A binary message is one frame of one track, little-endian:

    offset  type        what
    0       uint8       version of this header, 1
    1       uint8       n, length of the track id in bytes
    2       uint8[n]    track id, UTF-8
    2 + n   float64     media time of the first sample: seconds on the conversation's one clock
    10 + n  int16[]     samples (the payload of codec pcm_s16le), mono, at the track's sample rate

Audio of 8 to 48 kHz is brought to 16 kHz. A frame that starts within 0.1 s of where the last one ended goes
on from there to the sample, so that a jittery clock neither cuts nor stretches speech. One that starts later
leaves a gap in media time. One that starts up to 1 s earlier loses the part that was there already; any
earlier is `bad_media_time`.

A bad message is answered with an `error`, and the next good one is taken as if it had not been there.
"""

import math
import struct
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from engine.ingest.resample import PcmTrack
from engine.messages import AudioChunk, Track
from engine.notices import Error

HEADER_VERSION = 1
MIN_RATE, MAX_RATE = 8_000, 48_000
MAX_JUMP_S = 86_400.0  # media time is not wall-clock time: a step of more than a day is a mistake
MAX_BACK_S = 1.0


class RefusedError(Exception):
    """A publisher may not join, now or under this name. Its text is one sentence for people.

    `code` goes to the publisher: "full" (then with `retry_after_s`), "speaker_taken", or "failed": our fault.
    """

    def __init__(self, code: str, message: str, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.retry_after_s = retry_after_s


@dataclass(frozen=True, slots=True)
class Started:
    """The tracks of a good `session.start`."""

    tracks: tuple[Track, ...]


@dataclass(frozen=True, slots=True)
class Ended:
    """A `session.end`: no more media will be taken."""


@dataclass(frozen=True, slots=True)
class TrackSpec:
    """A track as a publisher describes it."""

    id: str
    speaker: str
    kind: str
    codec: str
    sample_rate: int
    channels: int


Result = AudioChunk | Started | Ended | Error


def name_problem(what: str, name: str) -> str | None:
    """What is wrong with a name, in a sentence, or None. Names become parts of MQTT topics."""
    if not 1 <= len(name) <= 64:
        return f"{what} needs 1 to 64 characters, not {len(name)}."
    if any(unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp") or char in "/+#" for char in name):
        return f"{what} may not contain '/', '+', '#' or control characters."
    return f"{what} may not begin or end with a space." if name != name.strip() else None


class IngestProtocol:
    """One publisher's session. Feed it every message; take what comes out in order."""

    def __init__(self, max_message_bytes: int = 1 << 20, max_tracks: int = 8) -> None:
        self.max_message_bytes = max_message_bytes
        self.max_tracks = max_tracks
        self._tracks: dict[str, PcmTrack] = {}
        self._state = "new"  # → started → ended

    def receive(self, message: str | bytes) -> Iterator[Result]:
        """Lazily: a large frame is worked through piece by piece as the caller goes on."""
        size = len(message if isinstance(message, bytes) else message.encode(errors="replace"))
        if size > self.max_message_bytes:
            yield Error("too_large", f"A message has at most {self.max_message_bytes} bytes, not {size}.")
        elif isinstance(message, bytes):
            yield from self._frame(message)
        else:
            yield from self._control(message)

    def close(self) -> Iterator[AudioChunk]:
        """The stream is over, by `session.end` or a hang-up: the last samples out of the resamplers."""
        self._state = "ended"
        for track in self._tracks.values():
            yield from track.flush()
        self._tracks.clear()

    def _control(self, text: str) -> Iterator[Result]:
        try:
            body = from_json(text)
        except ValueError as error:
            yield Error("bad_json", f"A text message is one JSON object: {error}.")
            return
        if not isinstance(body, dict):
            yield Error("bad_json", f"A text message is one JSON object, not {type(body).__name__}.")
        elif body.get("type") == "session.start":
            yield self._start(body)
        elif body.get("type") != "session.end":
            kind = str(body.get("type"))[:40]
            yield Error("unknown_message", f"Unknown type {kind!r}: send session.start or session.end.")
        elif self._state != "started":
            yield self._out_of_place()
        else:
            yield from self.close()
            yield Ended()

    def _start(self, body: dict[str, object]) -> Started | Error:
        if self._state != "new":
            return Error("already_started", "This socket has its session: open another for another one.")
        try:
            specs = _SPECS.validate_python(body.get("tracks"), strict=False)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(["tracks", *map(str, first["loc"])])
            return Error("bad_session_start", f"session.start: {where}: {first['msg']}.")
        if problem := self._spec_problem(specs):
            return problem
        self._tracks = {spec.id: PcmTrack(Track(spec.id, spec.speaker), spec.sample_rate) for spec in specs}
        self._state = "started"
        return Started(tuple(track.track for track in self._tracks.values()))

    def _spec_problem(self, specs: list[TrackSpec]) -> Error | None:
        if not specs:
            return Error("bad_session_start", "session.start names no track: give at least one.")
        if len(specs) > self.max_tracks:
            return Error("too_many_tracks", f"A session may have {self.max_tracks} tracks, not {len(specs)}.")
        problems = (
            _names_problem("track", [spec.id for spec in specs]),
            _names_problem("speaker", [spec.speaker for spec in specs]),
            *map(_format_problem, specs),
        )
        return next(filter(None, problems), None)

    def _frame(self, frame: bytes) -> Iterator[Result]:
        if self._state != "started":
            yield self._out_of_place()
            return
        header = _parse_header(frame)
        if isinstance(header, Error):
            yield header
            return
        track_id, media_s, payload = header
        track = self._tracks.get(track_id)
        if track is None:
            known = ", ".join(self._tracks)
            yield Error("unknown_track", f"session.start named {known}, but no track {track_id[:64]!r}.")
        elif problem := _time_problem(media_s, track.end_s):
            yield Error("bad_media_time", problem)
        else:
            yield from track.push(media_s, payload)

    def _out_of_place(self) -> Error:
        if self._state == "new":
            return Error("not_started", "Send session.start first: it names the tracks.")
        return Error("already_ended", "This session has ended: open another socket for another one.")


_SPECS = TypeAdapter(list[TrackSpec])


def _names_problem(what: str, names: list[str]) -> Error | None:
    for name in names:
        if problem := name_problem(f"A {what}'s name", name):
            return Error("bad_name", problem)
        if names.count(name) > 1:
            return Error(f"duplicate_{what}", f"The {what} {name!r} is named twice: each track has its own.")
    return None


def _format_problem(spec: TrackSpec) -> Error | None:
    name = f"Track {spec.id!r}"
    if spec.kind != "audio":
        return Error("unsupported_kind", f"{name}: the kind taken is 'audio', not {spec.kind[:40]!r}.")
    if spec.codec != "pcm_s16le":
        return Error("unsupported_codec", f"{name}: the codec taken is 'pcm_s16le', not {spec.codec[:40]!r}.")
    if not MIN_RATE <= spec.sample_rate <= MAX_RATE:
        limits = f"{MIN_RATE} to {MAX_RATE} Hz"
        return Error("bad_sample_rate", f"{name}: sample_rate is {limits}, not {spec.sample_rate}.")
    if spec.channels != 1:
        return Error("unsupported_channels", f"{name}: only mono is taken: send one track a speaker.")
    return None


def _parse_header(frame: bytes) -> tuple[str, float, bytes] | Error:
    """(track id, media time, payload)."""
    if len(frame) < 2 or len(frame) < frame[1] + 10:
        return Error("truncated_frame", f"A frame of {len(frame)} bytes is shorter than its header.")
    version, id_length = frame[0], frame[1]
    if version != HEADER_VERSION:
        return Error("bad_version", f"A frame begins with header version {HEADER_VERSION}, not {version}.")
    try:
        track_id = frame[2 : 2 + id_length].decode()
    except UnicodeDecodeError:
        return Error("unknown_track", "The track id in this frame is not UTF-8.")
    (media_s,) = struct.unpack_from("<d", frame, 2 + id_length)
    payload = frame[10 + id_length :]
    if len(payload) % 2:
        return Error("truncated_frame", f"A payload of {len(payload)} bytes is not whole 16-bit samples.")
    return track_id, media_s, payload


def _time_problem(media_s: float, end_s: float | None) -> str | None:
    if not math.isfinite(media_s) or media_s < 0:
        return f"Media time is seconds from the start of the conversation, not {media_s}."
    if media_s > (end_s or 0.0) + MAX_JUMP_S:
        return f"Media time {media_s:.3f} s is too far ahead: it counts from the start of the conversation."
    if end_s is not None and media_s < end_s - MAX_BACK_S:
        return f"Media time went back from {end_s:.3f} s to {media_s:.3f} s: open another socket to restart."
    return None
