"""Streaming recognisers beside which `bench/peers.py` measures this engine: how each is started, and its protocol."""

import json
import struct
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cberl.types import SAMPLE_RATE, Float32
from engine.demo.play import frame
from engine.media import AudioChunk, Track
from testing.command import MAIN
from testing.live_engine import start

WHISPER_LIVE = (
    "from whisper_live.server import TranscriptionServer; TranscriptionServer().run('127.0.0.1', port={port}, "
    "backend='faster_whisper', faster_whisper_custom_model_path='{model}', single_model=True, max_clients=64)"
)

Transcript = dict[float, str]  # final parts of one session, by start or number


@dataclass(frozen=True)
class System:
    """A server and its protocol. `read` adds the final parts in a message to a transcript."""

    name: str
    package: str | None  # None: this environment
    needs: tuple[str, ...]  # packages that are not in this environment
    arguments: tuple[str, ...]
    path: str
    hello: str | None
    encode: Callable[[Float32, int], bytes]  # samples, and where they start
    read: Callable[[dict[str, Any], Transcript], None]


def pcm16(pcm: Float32) -> bytes:
    return (pcm * 32_767).astype("<i2").tobytes()


def packet(pcm: Float32, _: int) -> bytes:
    about = {"sampleRate": SAMPLE_RATE, "channels": 1, "format": "pcm_s16le", "frames": len(pcm)}
    head = json.dumps(about).encode()
    return struct.pack("<I", len(head)) + head + pcm16(pcm)


def of_segments(message: dict[str, Any], found: Transcript) -> None:
    found |= {float(it["start"]): it["text"] for it in message.get("segments", ()) if it.get("completed")}


def of_lines(message: dict[str, Any], found: Transcript) -> None:
    if "lines" in message:
        found[0.0] = " ".join(line.get("text") or "" for line in message["lines"])


def of_finals(message: dict[str, Any], found: Transcript) -> None:
    if message.get("type") == "final":
        found[float(len(found))] = message["text"]


def of_emotions(message: dict[str, Any], found: Transcript) -> None:
    if message.get("type") == "emotion" and message["status"] == "final":
        found[message["start_s"]] = message["text"] or ""


SYSTEMS = (
    System(
        "this-engine",
        None,
        (),
        ("-c", MAIN, "serve", "--port", "{port}", "--no-auth", "--whisper-model", "tiny.en"),
        "/ingest?conversation=peers-{session}",
        start("room"),
        lambda pcm, at: frame(AudioChunk(Track("audio-1", ""), at / SAMPLE_RATE, pcm)),
        of_emotions,
    ),
    System(
        "RealtimeSTT",
        "RealtimeSTT==1.1.2",
        ("fastapi", "python-multipart", "soundfile", "websocket-client", "webrtcvad-wheels", "halo", "colorama"),
        (
            *("-m", "example_fastapi_server.server", "--port", "{port}", "--model", "{model}"),
            *("--realtime-model", "{model}", "--engine", "faster_whisper", "--realtime-engine", "faster_whisper"),
            *("--language", "en", "--device", "cpu", "--compute-type", "int8"),
            *("--max-sessions", "64", "--max-active-speakers", "64"),
        ),
        "/ws/transcribe",
        '{"type": "start"}',
        packet,
        of_finals,
    ),
    System(
        "WhisperLiveKit",
        "whisperlivekit==0.2.26",
        ("fastapi", "python-multipart", "soundfile", "librosa", "tiktoken", "numba"),
        (
            *("-m", "whisperlivekit.basic_server", "--host", "127.0.0.1", "--port", "{port}", "--model_dir", "{model}"),
            *("--backend", "faster-whisper", "--backend-policy", "localagreement", "--lan", "en", "--pcm-input"),
        ),
        "/asr",
        None,
        lambda pcm, _: pcm16(pcm),
        of_lines,
    ),
    System(
        "WhisperLive",
        "whisper-live==0.10.0",
        (),
        ("-c", WHISPER_LIVE),
        "/",
        json.dumps({"uid": "peers", "language": "en", "task": "transcribe", "model": "tiny.en", "use_vad": True}),
        lambda pcm, _: pcm.astype("<f4").tobytes(),
        of_segments,
    ),
)
