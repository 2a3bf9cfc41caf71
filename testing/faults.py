"""Faults for a server in a process of its own: `served(..., before=BREAK)`. Files in its folder switch most of them.

Turns of more than LONG_S make Whisper hang and the audio encoder run out of memory. With the file `hang-vad` the voice
activity detector hangs, `clock` has seconds by which the wall clock is wrong. Names that end in .unanswered are never
looked up to the end.
"""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch

from cberl.encoders.audio import AudioEncoder
from cberl.types import SAMPLE_RATE
from engine.speech.vad import SileroVad
from engine.speech.whisper import WhisperTranscriber

BREAK = "from testing.faults import install; install()"
LONG_S = 5.0
ACCEPTED = b"\x20\x03\x00\x00\x00"  # CONNACK of MQTT 5


def install() -> None:
    _before(WhisperTranscriber, "transcribe", lambda clips: hang() if any(map(_long, clips)) else None)
    _before(AudioEncoder, "describe", lambda pcm: no_memory() if _long(pcm) else None)
    _before(SileroVad, "run", lambda requests: hang() if Path("hang-vad").exists() else None)
    for name in ("getaddrinfo", "gethostbyname"):
        _before(socket, name, lambda host, *rest, **more: hang() if str(host).endswith(".unanswered") else None)
    right = time.time
    time.time = lambda: right() + _clock_error_s()


def hang() -> None:
    threading.Event().wait()


def no_memory() -> None:
    raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")


def _long(pcm: Any) -> bool:
    return len(pcm) > LONG_S * SAMPLE_RATE


def _clock_error_s() -> float:
    try:
        return float(Path("clock").read_text())
    except (OSError, ValueError):
        return 0.0


def _before(owner: Any, name: str, fault: Callable[..., None]) -> None:
    """Call `fault` with the arguments of each call of this function or method first, without `self`."""
    original = getattr(owner, name)

    def broken(*args: Any, **more: Any) -> Any:
        fault(*(args[1:] if isinstance(owner, type) else args), **more)
        return original(*args, **more)

    setattr(owner, name, broken)


@contextmanager
def deaf_broker(*, accepts: bool) -> Iterator[int]:
    """The port of a broker that takes connections and answers nothing, or CONNECT alone where it `accepts`."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_ignore_clients, args=(server, accepts), daemon=True).start()
        yield server.getsockname()[1]


def _ignore_clients(server: socket.socket, accepts: bool) -> None:
    while True:
        try:
            client, _ = server.accept()
        except OSError:  # the end
            return
        threading.Thread(target=_ignore, args=(client, accepts), daemon=True).start()


def _ignore(client: socket.socket, accepts: bool) -> None:
    with client:
        if accepts and client.recv(4096):
            client.sendall(ACCEPTED)
        while True:
            try:
                if not client.recv(4096):
                    return
            except OSError:
                return
