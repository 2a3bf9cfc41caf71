"""The protocol of `/ingest`: messages of a publisher in, audio chunks and answers out. No sockets, no clock.

Text messages are JSON objects with a `type`:

    {"type": "session.start", "tracks": [{"id": "mic", "speaker": "alice", "kind": "audio",
                                          "codec": "pcm_s16le", "sample_rate": 16000, "channels": 1},
                                         {"id": "cam", "speaker": "alice", "kind": "video", "codec": "jpeg"}]}
    {"type": "caption", "track": "mic", "start_s": 1.2, "end_s": 2.9, "text": "Hello there.", "language": "en"}
    {"type": "session.end"}

A session that starts with `"resumable": true` may continue on another socket, whose first message names the key that
`session.started` had: {"type": "session.resume", "resume": "KEY"}.

A binary message is one frame of one track, little-endian:

    offset  type        content
    0       uint8       version of this header, 1
    1       uint8       n, length of the track id in bytes
    2       uint8[n]    track id, UTF-8
    2 + n   float64     media time of the first sample, in s on the clock that all tracks share
    10 + n  uint8[]     payload: int16 samples (codec pcm_s16le) or float32 samples (pcm_f32le), mono, at the track's
                        rate; one Opus packet (opus, whose sample_rate is 48000); or one JPEG picture (jpeg)

Audio of 8 to 48 kHz is resampled to 16 kHz. A frame that starts within 0.1 s of the end of the previous one follows it
without a gap, so that a jittery clock neither cuts nor stretches speech. A later frame leaves a gap in media time,
which counts as silence and is reported at the end of the session. Of a frame that starts up to 1 s before that end, the
part that overlaps is discarded; an earlier one is `bad_media_time`.

A video track is sampled to a few pictures per second. They are used with what its speaker says at that time.

The words of a track with `"captions": true` in its session.start are those of the captions whose middle lies in the
turn. A turn waits for captions for a short time; without them, it is transcribed. Their number and length are limited
per second of the track's audio.

A track may have `"analyse": "text"`, for which its audio is used to find turns and words only, or `"none"`, for which
all of its media is discarded unread. `"consent": true` says that its speaker was informed and agrees.

A text message has at most 64 KB, and its numbers are finite.

A bad message is answered with an `error` and otherwise ignored.
"""

import math
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from engine.events import Error
from engine.ingest.arrival import FrameSampler
from engine.ingest.codecs import Decode, PayloadError, audio_decoder, check_jpeg
from engine.ingest.control import MAX_CONTROL_BYTES, CaptionRate, parse_control, read_caption
from engine.ingest.resampler import TrackResampler
from engine.ingest.tracks import TrackSpec, read_specs
from engine.media import AudioChunk, Track

HEADER_VERSION = 1
MAX_JUMP_S = 86_400.0  # larger steps are mistakes, such as wall-clock time in place of media time
MAX_BACK_S = 1.0
MAX_KEY = 64  # characters


@dataclass(frozen=True, slots=True)
class Picture:
    """A sampled picture, still encoded, of the speaker of `track`."""

    track: Track
    at_s: float
    jpeg: bytes


@dataclass(frozen=True, slots=True)
class Started:
    """The tracks of a valid `session.start`."""

    tracks: tuple[Track, ...]
    resumable: bool = False


@dataclass(frozen=True, slots=True)
class Resume:
    """A `session.resume`: this socket continues the session with that key."""

    key: str


@dataclass(frozen=True, slots=True)
class Ended:
    """A `session.end`: no more media is accepted."""


@dataclass(frozen=True, slots=True)
class Discarded:
    """Media of a track that may not be analysed."""


Result = AudioChunk | Picture | Discarded | Started | Resume | Ended | Error


@dataclass(slots=True, eq=False)
class _Audio:
    resampler: TrackResampler
    decode: Decode
    captions: CaptionRate
    heard_s: float = 0.0


@dataclass(slots=True, eq=False)
class _Video:
    track: Track  # the speaker's audio track
    sampler: FrameSampler
    last_s: float | None = None


class IngestProtocol:
    """One publisher's session. Pass it every message, and handle the results in order."""

    def __init__(
        self,
        max_message_bytes: int = 1 << 20,
        max_tracks: int = 8,
        video_fps: float = 3.0,
        *,
        require_consent: bool = False,
    ) -> None:
        self.max_message_bytes = max_message_bytes
        self.max_tracks = max_tracks
        self.video_fps = video_fps
        self._require_consent = require_consent
        self._not_analysed: set[str] = set()  # tracks whose media is discarded unread
        self._audio: dict[str, _Audio] = {}
        self._video: dict[str, _Video] = {}
        self._state = "new"  # → started → ended

    @property
    def gaps(self) -> int:
        """The number of gaps in the media time of audio tracks."""
        return sum(track.resampler.gaps for track in self._audio.values())

    @property
    def missing_s(self) -> float:
        """The length of these gaps."""
        return sum(track.resampler.missing_s for track in self._audio.values())

    def receive(self, message: str | bytes) -> Iterable[Result]:
        """The results of one message, to be read once. Chunks of a large frame are made while they are read."""
        binary = isinstance(message, bytes)
        size = len(message if isinstance(message, bytes) else message.encode(errors="replace"))
        most = self.max_message_bytes if binary else min(self.max_message_bytes, MAX_CONTROL_BYTES)
        if size > most:
            kind = "binary" if binary else "text"
            return [Error("too_large", f"A {kind} message has at most {most} bytes, not {size}.")]
        return self._frame(message) if isinstance(message, bytes) else self._control(message)

    def close(self) -> Iterator[AudioChunk]:
        """The session is over, by `session.end` or a closed socket: the samples still in the resamplers."""
        self._state = "ended"
        for track in self._audio.values():
            yield from track.resampler.flush()

    def _control(self, text: str) -> Iterator[Result]:
        body = parse_control(text)
        if isinstance(body, Error):
            yield body
            return
        kind = str(body.get("type"))
        if kind == "session.start":
            yield self._start(body)
        elif kind == "session.resume":
            yield self._resume(body)
        elif kind not in ("session.end", "caption"):
            yield Error("unknown_message", f"Unknown type {kind[:40]!r}: see session.start, caption, session.end.")
        elif self._state != "started":
            yield self._wrong_state()
        elif kind == "caption":
            if result := self._caption(body):
                yield result
        else:
            yield from self.close()
            yield Ended()

    def _start(self, body: dict[str, object]) -> Started | Error:
        if self._state != "new":
            return Error("already_started", "This socket has its session: open another socket for another session.")
        specs = read_specs(body.get("tracks"), self.max_tracks, require_consent=self._require_consent)
        if isinstance(specs, Error):
            return specs
        tracks = {spec.speaker: _track(spec) for spec in specs if spec.kind == "audio"}
        for spec in specs:
            # The face belongs to the voice: it is not looked at where that is not heard, or only for its words.
            if "none" in (spec.analyse, tracks[spec.speaker].analyse) or (
                spec.kind == "video" and "text" in (spec.analyse, tracks[spec.speaker].analyse)
            ):
                self._not_analysed.add(spec.id)
            elif spec.kind == "audio":
                decode = audio_decoder(spec.codec, spec.sample_rate)
                self._audio[spec.id] = _Audio(TrackResampler(tracks[spec.speaker]), decode, CaptionRate())
            else:
                self._video[spec.id] = _Video(tracks[spec.speaker], FrameSampler(self.video_fps))
        self._state = "started"
        return Started(tuple(_track(spec) for spec in specs), body.get("resumable") is True)

    def _resume(self, body: dict[str, object]) -> Resume | Error:
        if self._state != "new":
            return Error("already_started", "This socket has its session: open another socket to resume one.")
        return Resume(str(body.get("resume"))[:MAX_KEY])

    def _caption(self, body: dict[str, object]) -> AudioChunk | Error | None:
        track = self._audio.get(str(body.get("track")))
        if str(body.get("track")) in self._not_analysed:
            return None
        if track is None:
            return Error("unknown_track", f"session.start named no audio track {str(body.get('track'))[:64]!r}.")
        caption = read_caption(body, latest_s=(track.resampler.end_s or 0.0) + MAX_JUMP_S)
        if isinstance(caption, Error):
            return caption
        if problem := track.captions.problem(caption, track.heard_s):
            return problem
        at_s = caption.start_s if track.resampler.end_s is None else track.resampler.end_s
        return AudioChunk(track.resampler.track, at_s, np.zeros(0, np.float32), captions=(caption,))

    def _frame(self, frame: bytes) -> Iterable[Result]:
        if self._state != "started":
            return [self._wrong_state()]
        header = _parse_header(frame)
        if isinstance(header, Error):
            return [header]
        track_id, media_s, payload = header
        if track_id in self._not_analysed:
            return [Discarded()]
        try:
            if audio := self._audio.get(track_id):
                return _audio_chunks(audio, media_s, payload)
            if video := self._video.get(track_id):
                return _picture(video, media_s, payload)
        except PayloadError as error:
            return [Error(error.code, str(error))]
        known = ", ".join([*self._audio, *self._video])
        return [Error("unknown_track", f"session.start named {known}, but no track {track_id[:64]!r}.")]

    def _wrong_state(self) -> Error:
        if self._state == "new":
            return Error("not_started", "Send session.start first: it names the tracks.")
        return Error("already_ended", "This session has ended: open another socket for another session.")


def _track(spec: TrackSpec) -> Track:
    return Track(spec.id, spec.speaker, spec.captions, analyse=spec.analyse)


def _audio_chunks(track: _Audio, media_s: float, payload: bytes) -> Iterable[AudioChunk | Error]:
    if problem := _time_problem(media_s, track.resampler.end_s):
        return [Error("bad_media_time", problem)]
    frame = track.decode(payload)
    if frame is None:
        return []
    track.heard_s += frame.samples / frame.sample_rate
    return track.resampler.push(media_s, frame)


def _picture(track: _Video, media_s: float, payload: bytes) -> Iterable[Picture | Error]:
    if problem := _time_problem(media_s, track.last_s):
        return [Error("bad_media_time", problem)]
    check_jpeg(payload)
    track.last_s = media_s
    return [Picture(track.track, media_s, payload)] if track.sampler.wants(media_s) else []


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
    return track_id, media_s, frame[10 + id_length :]


def _time_problem(media_s: float, end_s: float | None) -> str | None:
    if not math.isfinite(media_s) or media_s < 0:
        return f"Media time is in seconds from the start of the conversation, not {media_s}."
    if media_s > (end_s or 0.0) + MAX_JUMP_S:
        return f"Media time {media_s:.3f} s is too far ahead: it counts from the start of the conversation."
    if end_s is not None and media_s < end_s - MAX_BACK_S:
        return f"Media time went back from {end_s:.3f} s to {media_s:.3f} s: open another socket to restart."
    return None
