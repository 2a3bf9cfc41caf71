"""Bytes of publishers and subscribers: messages of `/ingest`, media, events, commands over MQTT."""

import json
import os
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import av
import cv2
import numpy as np
from cberl_client import ClientError
from cberl_client import decode as client_decode
from cberl_client.resume_cursor import ResumeCursor

from cberl.data.resampling import MonoPcm
from engine.delivery.wire import WireError, decode, encode
from engine.errors import CommandError
from engine.events import (
    ConversationStarted,
    EmotionEvent,
    Error,
    Influence,
    Resync,
    SessionEnded,
    SessionReceived,
    SessionStarted,
    Shift,
    Snapshot,
    SpeakerJoined,
    SpeakerState,
)
from engine.ingest.codecs import MAX_PIXELS, PayloadError, audio_decoder, check_jpeg, jpeg_size
from engine.ingest.picture import PictureError, decode_jpeg
from engine.ingest.protocol import IngestProtocol
from engine.media import AudioChunk
from engine.mqtt.control import ReceivedMessage, authorised, parse_command
from engine.mqtt.topics import Topics, level
from engine.names import name_problem
from testing.fuzz.runner import Inputs, target

RATE = 16_000
NEXT = b"\n~next~\n"  # between the messages of one case
TRACKS = [
    {"id": "mic", "speaker": "alice", "kind": "audio", "codec": "pcm_s16le", "sample_rate": RATE, "channels": 1},
    {"id": "f32", "speaker": "bob", "kind": "audio", "codec": "pcm_f32le", "sample_rate": 8000, "channels": 1,
     "captions": True},
    {"id": "opus", "speaker": "carol", "kind": "audio", "codec": "opus", "sample_rate": 48_000, "channels": 1,
     "analyse": "text", "consent": True},
    {"id": "cam", "speaker": "alice", "kind": "video", "codec": "jpeg"},
]  # fmt: skip
START = json.dumps({"type": "session.start", "tracks": TRACKS}).encode()
END = b'{"type": "session.end"}'
CAPTION = json.dumps(
    {"type": "caption", "track": "f32", "start_s": 0.0, "end_s": 0.5, "text": "Hello.", "language": "en",
     "confidence": 0.5}
).encode()  # fmt: skip
WORDS = [
    *(name.encode() for track in TRACKS for name in track if isinstance(name, str)),
    *b"audio video opus jpeg pcm_s16le session.start caption session.end none resumable session.resume".split(),
]


def _opus() -> list[bytes]:
    encoder = av.CodecContext.create("libopus", "w")
    encoder.sample_rate, encoder.layout, encoder.format = 48_000, "mono", "s16"
    pcm = (np.sin(np.arange(4800) / 20) * 8000).astype("<i2")
    packets = []
    for at in range(0, len(pcm), 960):
        frame = av.AudioFrame.from_ndarray(pcm[None, at : at + 960], "s16", "mono")
        frame.sample_rate, frame.pts = 48_000, at
        packets += [bytes(packet) for packet in encoder.encode(frame)]
    return packets


def _jpegs() -> list[bytes]:
    picture = np.random.default_rng(0).integers(0, 255, (24, 40, 3), np.uint8)
    options = ([cv2.IMWRITE_JPEG_PROGRESSIVE, 1], [cv2.IMWRITE_JPEG_RST_INTERVAL, 2], [cv2.IMWRITE_JPEG_QUALITY, 20])
    return [cv2.imencode(".jpg", picture, option)[1].tobytes() for option in options]


def _frame(track: str, at_s: float, payload: bytes) -> bytes:
    return struct.pack("<BB", 1, len(track)) + track.encode() + struct.pack("<d", at_s) + payload


def _check(error: Error) -> None:
    """An error can be sent, and says something."""
    assert error.code, error
    assert len(error.message) < 2000, error
    encode(error)


@target(40)
def ingest_messages(folder: Path) -> Iterator[Inputs]:
    pcm, floats = np.arange(160, dtype="<i2").tobytes(), np.linspace(-1, 1, 80, dtype="<f4").tobytes()
    media = [_frame("mic", 0.0, pcm), _frame("f32", 0.1, floats), _frame("opus", 0.2, _opus()[0])]
    media.append(_frame("cam", 0.3, _jpegs()[0]))
    seeds = [START, NEXT.join([START, CAPTION, END]), *(NEXT.join([START, one, END]) for one in media)]
    seeds.append(NEXT.join([START, media[0], CAPTION, media[0], media[1], END, END]))
    seeds.append(b'{"type": "session.resume", "resume": "key"}')

    def parse(data: bytes) -> None:
        protocol = IngestProtocol(max_message_bytes=8192, max_tracks=8)
        for message in data.split(NEXT):
            binary = message[:1] < b"\x09"
            for result in protocol.receive(message if binary else message.decode(errors="replace")):
                if isinstance(result, Error):
                    _check(result)
                elif isinstance(result, AudioChunk):
                    assert np.isfinite(result.pcm).all()
                    assert 0 <= result.start_s < 1e9
        list(protocol.close())
        assert 0 <= protocol.missing_s < 1e9

    yield Inputs(seeds, parse, tokens=[NEXT, START, END, CAPTION, *WORDS])


@target(40)
def session_start(folder: Path) -> Iterator[Inputs]:
    def parse(data: bytes) -> None:
        for result in IngestProtocol(require_consent=b"consent" in data).receive(data.decode(errors="replace")):
            if isinstance(result, Error):
                _check(result)

    yield Inputs([START], parse, tokens=WORDS)


@target(60)
def caption(folder: Path) -> Iterator[Inputs]:
    protocol = IngestProtocol()
    list(protocol.receive(START.decode()))

    def parse(data: bytes) -> None:
        for result in protocol.receive(data.decode(errors="replace")):
            if isinstance(result, Error):
                _check(result)

    yield Inputs([CAPTION], parse, tokens=WORDS)


@target(60)
def opus(folder: Path) -> Iterator[Inputs]:
    decode_packet = audio_decoder("opus", 48_000)

    def parse(data: bytes) -> None:
        frame = decode_packet(data)
        assert frame is None or frame.samples <= 5760  # 120 ms

    yield Inputs(_opus(), parse, (PayloadError,))


@target(60)
def pcm(folder: Path) -> Iterator[Inputs]:
    forms = [(codec, rate) for rate in (RATE, 3 * RATE) for codec in ("pcm_s16le", "pcm_f32le")]
    decoders = [audio_decoder(codec, rate) for codec, rate in forms]
    seeds = [np.arange(16, dtype="<i2").tobytes(), np.linspace(-1, 1, 16, dtype="<f4").tobytes()]
    odd = [np.array(number, "<f4").tobytes() for number in (np.nan, np.inf, -np.inf, 1e38, 1e-45)]

    def parse(data: bytes) -> None:
        for decode_samples in decoders:
            frame = decode_samples(data)
            if isinstance(frame, MonoPcm):
                assert np.abs(frame.pcm).max() <= 1
            elif frame and frame.format.name == "flt":
                assert np.abs(frame.to_ndarray()).max() <= 1

    yield Inputs(seeds, parse, (PayloadError,), odd)


@target(60)
def jpeg(folder: Path) -> Iterator[Inputs]:
    """The parser of sizes and scans, and where it accepts a small picture, the decoder."""

    def parse(data: bytes) -> None:
        check_jpeg(data)
        width, height = jpeg_size(data)
        assert 0 < width * height <= MAX_PIXELS
        if width * height < 100_000:
            rgb = decode_jpeg(data)
            assert rgb.ndim == 3
            assert rgb.size <= 3 * 100_000

    markers = [bytes([0xFF, code]) for code in (0x01, 0xC0, 0xC2, 0xC4, 0xD8, 0xD9, 0xDA, 0xDB, 0xDD, 0xE0, 0xFF)]
    with _quiet():
        yield Inputs(_jpegs(), parse, (PayloadError, PictureError), markers)


@contextmanager
def _quiet() -> Iterator[None]:
    """libjpeg writes to file descriptor 2 about every damaged picture."""
    before = os.dup(2)
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(before, 2)
        os.close(before)


def _messages() -> list[bytes]:
    event = EmotionEvent(
        "demo", "demo/alice/1", "alice", 0.5, 1.5, "hi", "joy", 0.9, {"joy": 0.9}, 0.5, 0.5, Shift("anger", 2),
        {"text": 1.0, "visual": None}, "v", "m", {"turn": 1.0}, 0.1, vocal_events=("sigh",),
        because=(Influence("demo/bob/0", 0.5),),
    )  # fmt: skip
    events = [event, ConversationStarted("demo"), SpeakerJoined("demo", "alice")]
    notices = [
        Snapshot("demo", True, 7, (SpeakerState("alice", True, event),), "a"), Resync("demo", 3, 1),
        SessionStarted("demo", ("mic",), "key", 3), SessionReceived(7), SessionEnded("demo", 1.0, 0),
        Error("full", "Later.", True),
    ]  # fmt: skip
    texts = [encode(one, seq) for seq, one in enumerate(events, 1)] + [encode(one) for one in notices]
    return [text.encode() for text in texts]


@target(60)
def wire_messages(folder: Path) -> Iterator[Inputs]:
    """What `decode` takes, `encode` writes again."""

    def parse(data: bytes) -> None:
        seq, message = decode(data)
        with suppress(ValueError):  # a float in a dict may be infinite by rounding
            encode(message, seq)

    yield Inputs(_messages(), parse, (WireError,))


@target(80)
def client_messages(folder: Path) -> Iterator[Inputs]:
    """The Python client: its decoder, and the cursor with which it resumes."""

    def parse(data: bytes) -> None:
        cursor = ResumeCursor("demo", 0)
        for line in data.split(NEXT):
            cursor.take(client_decode(line))
        assert cursor.last_seq is None or cursor.last_seq >= 0

    seeds = _messages()
    yield Inputs([*seeds, NEXT.join(seeds[3:5] + seeds[:3])], parse, (ClientError,), [NEXT])


@target(80)
def mqtt_commands(folder: Path) -> Iterator[Inputs]:
    def parse(data: bytes) -> None:
        token = data[-8:].decode(errors="replace")
        received = ReceivedMessage(data, retained=data[:1] == b"!", token=token)
        assert not authorised(received, "a token")
        parse_command(received)

    seeds = [
        b'{"command": "start", "conversation": "lobby"}',
        b'{"command": "rename", "conversation": "lobby", "speaker": "guest", "name": "Ada"}',
    ]
    yield Inputs(seeds, parse, (CommandError,), [b"stop", b"start", b"rename", b"command"])


@target(100)
def names(folder: Path) -> Iterator[Inputs]:
    """A name that is accepted is one level of a topic of MQTT unchanged, and can be sent."""
    topics = Topics("cberl", "engine")

    def parse(data: bytes) -> None:
        name = data.decode(errors="replace")
        if (problem := name_problem("A speaker", name)) is None:
            assert level(name) == name
            assert topics.state(name, name).count("/") == 3
            encode(SpeakerJoined(name, name), 1)
        else:
            encode(Error("bad_name", problem))

    yield Inputs(
        [b"alice", "Zoë Müller".encode(), "エミ".encode()], parse, tokens=[b"/", b"+", b"#", b"$SYS", b"\xc2\x85"]
    )
