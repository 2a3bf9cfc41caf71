"""Audio from files and stream addresses (anything FFmpeg reads), through PyAV; pictures from files."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np

from cberl.data.pictures import Picture, moving_pictures
from cberl.types import SAMPLE_RATE, Float32
from engine.errors import EngineError
from engine.ingest.video_reader import VideoReader
from engine.media import AudioChunk, Track, VideoFrame
from engine.runtime.clocks import Pacer

CHUNK = SAMPLE_RATE // 10  # samples a chunk: 100 ms
NETWORK_TIMEOUT_S = 10.0
COMPARE_CHUNKS = 10  # chunks with sound in them, by which two channels are compared
SAME_SOUND = 0.1  # channels that differ by less of their energy carry the same sound
AUDIBLE_RMS = 1e-3  # -60 dB of full scale
LEAST_GAP_S, MOST_GAP_S = 0.05, 10.0  # a gap that is filled; less is jitter, more is another clock

log = logging.getLogger(__name__)


class MediaError(EngineError):
    """The file or address cannot be used; the message says why, in one sentence."""


async def read_media(
    path_or_url: str,
    *,
    realtime: bool = False,
    speakers: list[str] | None = None,
    look: bool = False,
    device: str | None = None,
) -> AsyncGenerator[AudioChunk, None]:
    """Decode to chunks of 100 ms, mono float32 at 16 kHz, until the end of the file.

    One channel is one speaker; two channels are two speakers, their chunks alternating in time, unless both
    carry the same sound: then they are one. More channels are mixed down to one, and so are a film's two, which are
    left and right of one scene, unless two speakers are named. Speakers are "speaker-1",
    "speaker-2", or the names given, one a channel. With `realtime`, a chunk comes out when it would have been
    spoken. With `look`, the chunks of a film with one speaker carry its pictures, three a second; whose face two
    speakers' film shows is not known, and addresses are only listened to. `device` is FFmpeg's name for a kind of
    microphone. Decoding runs in a thread of its own, a chunk at a time. Raises MediaError.
    """
    loop = asyncio.get_running_loop()
    pacer = Pacer()
    separate = speakers is not None and len(speakers) == 2
    decoded = _decode(path_or_url, separate, look, device)
    tracks: list[Track] = []
    start = 0  # samples
    thread = ThreadPoolExecutor(1, thread_name_prefix="media")
    try:
        while (step := await loop.run_in_executor(thread, next, decoded, None)) is not None:
            block, pictures = step
            tracks = tracks or _name_tracks(path_or_url, len(block), speakers)
            end = start + block.shape[1]
            if realtime:
                await pacer.until(end / SAMPLE_RATE)
            shown = pictures if len(tracks) == 1 else []
            frames = tuple(VideoFrame(tracks[0], at_s, rgb) for at_s, rgb in shown)
            for track, pcm in zip(tracks, block, strict=True):
                yield AudioChunk(track, start / SAMPLE_RATE, pcm, frames)
            start = end
    finally:
        thread.submit(decoded.close)  # after the step under way, if any
        thread.shutdown(wait=False)
    if not tracks:
        raise MediaError(f"{path_or_url} has an audio stream, but no sound in it.")


def _name_tracks(source: str, channels: int, speakers: list[str] | None) -> list[Track]:
    names = speakers or [f"speaker-{n + 1}" for n in range(channels)]
    if len(names) != channels:
        raise MediaError(
            f"{source} has {channels} channel{'s' * (channels > 1)} of speech, but {len(names)} "
            f"speaker{'s were' if len(names) > 1 else ' was'} named: name one a channel, or none."
        )
    if len(set(names)) != len(names):
        raise MediaError("Each channel needs a speaker name of its own: two are the same.")
    named = speakers is not None or channels > 1
    others = "" if named else "speaker"
    return [Track(f"audio-{n + 1}", name, named=named, numbered_from=others) for n, name in enumerate(names)]


def _decode(source: str, separate: bool, look: bool, device: str | None) -> Generator[tuple[Float32, list[Picture]]]:
    """Blocks of float32[channels, 1600], the last shorter, each with what was seen until its end.

    `separate` keeps two alike channels apart.
    """
    try:
        with (
            av.open(source, format=device, timeout=NETWORK_TIMEOUT_S) as container,
            closing(VideoReader(source)) if look and Path(source).is_file() else nullcontext() as film,
        ):
            if not container.streams.audio:
                raise MediaError(f"{source} has no audio stream: there is nothing to listen to.")
            if not container.streams.audio[0].codec_context.channels:
                raise MediaError(f"{source} says that its sound has 0 channels: it is damaged, or was written wrongly.")
            scene = bool(moving_pictures(container)) and not separate
            blocks = _blocks(_resample(container, mixed=scene))
            sound = container.streams.audio[0]
            first_s = float(sound.start_time * sound.time_base) if sound.start_time is not None else 0.0
            heard = 0  # samples
            for block in blocks if separate else _one_if_same(blocks):
                heard += block.shape[1]
                seen = film.until(first_s + heard / SAMPLE_RATE) if film else []
                yield block, [(at_s - first_s, rgb) for at_s, rgb in seen]
    except FileNotFoundError as error:
        raise MediaError(f"There is no file {source}: check the path.") from error
    except (av.FFmpegError, OSError) as error:
        raise MediaError(f"{source} cannot be read as media: {error.strerror or error}.") from error


def _resample(container: Any, mixed: bool) -> Iterator[Float32]:
    """float32[channels, n] at 16 kHz, one or two channels; what was lost on the way is silence."""
    stream = container.streams.audio[0]
    channels = 2 if stream.codec_context.channels == 2 and not mixed else 1
    resampler = av.AudioResampler(format="fltp", layout=("mono", "stereo")[channels - 1], rate=SAMPLE_RATE)
    first_s: float | None = None
    heard_s = 0.0
    for frame in _frames(container, stream):
        at_s = frame.time or 0.0
        first_s = at_s if first_s is None else first_s
        gap_s = at_s - first_s - heard_s
        if LEAST_GAP_S < gap_s < MOST_GAP_S:
            yield np.zeros((channels, round(gap_s * SAMPLE_RATE)), np.float32)
            heard_s += gap_s
        heard_s += frame.samples / frame.sample_rate
        frame.pts = None  # the resampler shall not judge times too
        for resampled in resampler.resample(frame):
            yield resampled.to_ndarray()
    for resampled in resampler.resample(None):  # what it still holds
        yield resampled.to_ndarray()


def _frames(container: Any, stream: Any) -> Iterator[Any]:
    """Decoded frames; damaged packets are left out, as every player does."""
    damaged = 0
    for packet in container.demux(stream):
        try:
            yield from packet.decode()
        except av.FFmpegError:
            damaged += 1
    if damaged:
        log.warning("%s: damaged packets left out: %d", container.name, damaged)


def _blocks(pieces: Iterator[Float32]) -> Iterator[Float32]:
    waiting: Float32 | None = None
    for piece in pieces:
        waiting = piece if waiting is None else np.concatenate([waiting, piece], axis=1)  # (channels, n)
        while waiting.shape[1] >= CHUNK:
            yield waiting[:, :CHUNK]
            waiting = waiting[:, CHUNK:]
    if waiting is not None and waiting.shape[1]:
        yield waiting


def _one_if_same(blocks: Iterator[Float32]) -> Iterator[Float32]:
    """Make one channel of two that carry the same sound: many a stereo file was recorded by one microphone.

    Judged by the first second of sound; holds back no more than ten seconds until then.
    """
    held: list[Float32] = []
    audible = 0
    for block in blocks:
        held.append(block)
        audible += bool(np.sqrt(np.mean(np.square(block))) > AUDIBLE_RMS)
        if len(block) == 1 or audible == COMPARE_CHUNKS or len(held) == 10 * COMPARE_CHUNKS:
            break
    same = bool(held) and len(held[0]) == 2 and _same_sound(np.concatenate(held, axis=1))
    for block in chain(held, blocks):
        yield block.mean(axis=0, keepdims=True) if same else block  # (2, n) -> (1, n)


def _same_sound(pair: Float32) -> bool:
    energy = float(np.square(pair).sum())
    return float(np.square(pair[0] - pair[1]).sum()) < SAME_SOUND * energy
