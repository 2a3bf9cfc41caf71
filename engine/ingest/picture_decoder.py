"""Decodes pictures of strangers in processes that can be killed: a decoder may take any time and memory for its input.

PublisherSession ─ JPEG ─► PictureDecoder ─ thread ─ pipe ─► process (FFmpeg)
                                            one per process, waits for DEADLINE_S at most
"""

import asyncio
import logging
import os
import resource
import struct
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, suppress
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Self
from weakref import WeakValueDictionary

import numpy as np
from numpy.typing import NDArray

from cberl.processes import SPAWN, exit_with_parent, interrupts_blocked
from engine.ingest.picture import PictureError, decode_jpeg
from engine.runtime.limits import Client

PROCESSES = 2
DEADLINE_S = 3.0  # for one picture; a large one takes a third of a second
STARTS_WITHIN_S = 60.0
WAIT_S = 1.0  # for an idle process; then the picture is skipped, because the publisher's audio waits behind it
MAX_MEMORY_BYTES = 512 << 20  # of one picture, beside the process itself
_SIZE = struct.Struct("<II")  # height, width

log = logging.getLogger(__name__)


class PictureTimeoutError(PictureError):
    """A picture that costs more time or memory than is allowed; its process was killed."""


class PictureDecoder:
    """Use inside `async with`. A process starts with its first picture, and again after it was killed."""

    def __init__(self, processes: int = PROCESSES, deadline_s: float = DEADLINE_S) -> None:
        self.killed = 0  # processes, by pictures that took too long
        self._deadline_s = deadline_s
        self._closed = False
        self._idle = asyncio.Semaphore(processes)
        self._turns: WeakValueDictionary[Client, asyncio.Lock] = WeakValueDictionary()  # by address
        self._processes: set[_DecoderProcess] = set()
        self._mine = threading.local()
        self._threads = ThreadPoolExecutor(processes, thread_name_prefix="picture")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self._closed = True
        for process in list(self._processes):
            process.close()  # also those that are decoding
        await asyncio.to_thread(self._threads.shutdown, cancel_futures=True)

    async def __call__(
        self, jpeg: bytes, client: Client = (), decoded: Callable[[float], object] = lambda took_s: None
    ) -> NDArray[np.uint8]:
        """uint8[h, w, 3], scaled down (see `decode_jpeg`). Raises PictureError.

        The pictures of one address are decoded one at a time, so that those of others need not wait long. `decoded` is
        called with the time that it took, also in vain.
        """
        turn = self._turns.setdefault(client[:1], asyncio.Lock())
        async with AsyncExitStack() as stack:
            try:
                async with asyncio.timeout(WAIT_S):
                    await stack.enter_async_context(turn)
                    await self._idle.acquire()
            except TimeoutError as error:
                raise PictureError("Too many pictures came at once: this one was skipped.") from error
            began = time.monotonic()
            try:
                return await self._in_thread(jpeg)
            finally:
                decoded(time.monotonic() - began)

    async def _in_thread(self, jpeg: bytes) -> NDArray[np.uint8]:
        decoding = asyncio.get_running_loop().run_in_executor(self._threads, self._decode, jpeg)
        decoding.add_done_callback(lambda _: self._idle.release())  # not before, even where this is cancelled
        return await decoding

    def _decode(self, jpeg: bytes) -> NDArray[np.uint8]:
        """In a thread, which has a process of its own."""
        process = getattr(self._mine, "process", None)
        if process is None:
            process = self._mine.process = _DecoderProcess()
            self._processes.add(process)
        if self._closed:
            process.close()
        try:
            return process.decode(jpeg, self._deadline_s)
        except (EOFError, OSError) as error:  # TimeoutError, too
            self._mine.process = None
            self._processes.discard(process)
            process.close()
            self.killed += 1
            log.warning("a picture could not be decoded within %.1f s; its process was killed", self._deadline_s)
            raise PictureTimeoutError("The picture takes too much time or memory to decode.") from error


class _DecoderProcess:
    """One child process. `decode` belongs to one thread; `close` may be called from another."""

    def __init__(self) -> None:
        self._pipe, theirs = SPAWN.Pipe()
        self._process: SpawnProcess = SPAWN.Process(target=_serve, args=(theirs,), name="picture decoder", daemon=True)
        with interrupts_blocked():
            self._process.start()
        theirs.close()
        self._ready = False
        self.decoding = False

    def decode(self, jpeg: bytes, deadline_s: float) -> NDArray[np.uint8]:
        """Raises PictureError; TimeoutError, EOFError or OSError where the process is of no use any more."""
        if not self._ready:
            self._answer(STARTS_WITHIN_S)
            self._ready = True
        self._pipe.send_bytes(jpeg)
        self.decoding = True
        answer = self._answer(deadline_s)
        self.decoding = False
        if not answer:
            raise PictureError("The payload is not a JPEG picture that can be decoded.")
        size = _SIZE.unpack_from(answer)
        return np.frombuffer(answer, np.uint8, offset=_SIZE.size).reshape(*size, 3)

    def close(self) -> None:
        self._process.kill()
        self._process.join()

    def _answer(self, within_s: float) -> bytes:
        if not self._pipe.poll(within_s):
            raise TimeoutError
        return self._pipe.recv_bytes()


def _serve(pipe: Connection) -> None:
    """The child: a picture in, its size and pixels out, nothing where it cannot be decoded."""
    exit_with_parent()
    _silence_decoders()
    _limit_memory()
    pipe.send_bytes(b"ready")
    with suppress(EOFError, BrokenPipeError):
        while True:
            pipe.send_bytes(_decoded(pipe.recv_bytes()))


def _decoded(jpeg: bytes) -> bytes:
    try:
        rgb = decode_jpeg(jpeg)
    except (PictureError, MemoryError):
        return b""
    return _SIZE.pack(*rgb.shape[:2]) + rgb.tobytes()


def _silence_decoders() -> None:
    """What decoders print about damaged pictures would flood the log. Python's own errors are still printed."""
    sys.stderr = os.fdopen(os.dup(2), "w")
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 2)


def _limit_memory() -> None:
    """Where the system tells how much the process has, and allows a limit (Linux)."""
    with suppress(OSError, ValueError):
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MAX_MEMORY_BYTES
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
