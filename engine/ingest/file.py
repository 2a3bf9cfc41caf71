"""Audio from files and stream addresses, and video frames from files: anything FFmpeg reads, through PyAV."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, nullcontext
from pathlib import Path

from cberl.data.media import AudioBlock, MediaError, audio_streams, decode_audio, open_media
from cberl.data.pictures import Picture, moving_pictures
from engine.ingest.channels import mono_chunks, pair_chunks, speaker_chunks
from engine.ingest.video_reader import VideoReader
from engine.media import AudioChunk, Track, VideoFrame
from engine.runtime.clocks import Pacer

NETWORK_TIMEOUT_S = 10.0


class FileSource:
    """A `ChunkSource` of `read_media`. Where a file cannot be read to its end, what comes before is complete.

    Iterating raises MediaError only where nothing can be read; `raise_error` afterwards, where the end is missing.
    `position_s` is the media time up to which it was read.
    """

    dropped = 0
    position_s = 0.0

    def __init__(
        self, path_or_url: str, *, realtime: bool = False, speakers: list[str] | None = None, look: bool = False
    ) -> None:
        self._chunks = read_media(path_or_url, realtime=realtime, speakers=speakers, look=look)
        self._error: MediaError | None = None

    def raise_error(self) -> None:
        """Raises MediaError where the file could not be read to its end."""
        if self._error is not None:
            raise self._error

    async def __aiter__(self) -> AsyncIterator[AudioChunk]:
        begun = False
        try:
            async for chunk in self._chunks:
                begun = True
                self.position_s = max(self.position_s, chunk.end_s)
                yield chunk
        except MediaError as error:
            if not begun:
                raise
            self._error = error


async def read_media(
    path_or_url: str,
    *,
    realtime: bool = False,
    speakers: list[str] | None = None,
    look: bool = False,
    device: str | None = None,
) -> AsyncGenerator[AudioChunk, None]:
    """Decode to chunks of 100 ms, mono float32 at 16 kHz, until the end of the file.

    One channel is one speaker. Two channels are two speakers, their chunks alternating in time, from where they first
    carry different sound; until then they are one. More channels are mixed to one, and so are the two of a film, which
    are left and right of one scene, unless two speakers are named. Speakers are called "speaker-1" and "speaker-2", or
    as given, one name per channel. Gaps in the timestamps are gaps between the times of chunks.

    With `realtime`, a chunk is yielded when it would have been spoken. With `look`, the chunks of a film with one
    speaker carry its video frames, three per second; of a film with two it is not known whose face they show, and
    addresses are read without video. `device` is FFmpeg's name for a kind of microphone. Decoding runs in a thread of
    its own, one chunk ahead at most. Raises MediaError, where a file is damaged after what could be decoded.
    """
    loop = asyncio.get_running_loop()
    pacer = Pacer()
    separate = speakers is not None and len(speakers) == 2
    decoded = _decode(path_or_url, separate, look, device)
    tracks: list[Track] = []
    thread = ThreadPoolExecutor(1, thread_name_prefix="media")
    try:
        while (step := await loop.run_in_executor(thread, next, decoded, None)) is not None:
            block, pictures = step
            if len(block.pcm) != len(tracks):
                tracks = _name_tracks(path_or_url, len(block.pcm), speakers)
            if realtime:
                await pacer.until(block.end_s)
            shown = pictures if len(tracks) == 1 else []
            frames = tuple(VideoFrame(tracks[0], at_s, rgb) for at_s, rgb in shown)
            for track, pcm in zip(tracks, block.pcm, strict=True):
                yield AudioChunk(track, block.start_s, pcm, frames)
    finally:
        thread.submit(decoded.close)  # after the current step, if any
        thread.shutdown(wait=False)
    if not tracks:
        raise MediaError(f"{path_or_url} has an audio stream, but no sound in it")


def _name_tracks(source: str, channels: int, speakers: Sequence[str] | None) -> list[Track]:
    names = speakers or [f"speaker-{n + 1}" for n in range(channels)]
    if len(names) != channels:
        raise MediaError(
            f"{source} has {channels} channel{'s' * (channels > 1)} of speech, but {len(names)} "
            f"speaker{'s were' if len(names) > 1 else ' was'} named: name one per channel, or none"
        )
    if len(set(names)) != len(names):
        raise MediaError("Each channel needs a speaker name of its own: two are the same")
    named = speakers is not None or channels > 1
    others = "" if named else "speaker"
    return [Track(f"audio-{n + 1}", name, named=named, numbered_from=others) for n, name in enumerate(names)]


def _decode(source: str, separate: bool, look: bool, device: str | None) -> Generator[tuple[AudioBlock, list[Picture]]]:
    """Chunks with a row for each speaker, and the pictures until the end of each. `separate`: always two speakers."""
    with (
        open_media(source, device=device, timeout_s=NETWORK_TIMEOUT_S) as container,
        closing(VideoReader(source)) if look and Path(source).is_file() else nullcontext() as video,
    ):
        blocks = decode_audio(source, container)
        if separate and audio_streams(source, container)[0].codec_context.channels == 2:
            chunks = pair_chunks(blocks)
        elif moving_pictures(container):
            chunks = mono_chunks(blocks)
        else:
            chunks = speaker_chunks(blocks)
        for chunk in chunks:
            yield chunk, video.until(chunk.end_s) if video else []
