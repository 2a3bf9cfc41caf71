"""The channels of a recording, as one speaker or as two, in chunks of 100 ms. No files, no threads."""

from collections import deque
from collections.abc import Iterator

import numpy as np

from cberl.data.media import AudioBlock
from cberl.data.resampling import Downmix
from cberl.types import SAMPLE_RATE, Float32

CHUNK = SAMPLE_RATE // 10  # samples
AUDIBLE_RMS = 1e-3  # -60 dB of full scale
LOUD = 0.1  # of the loudest chunk so far: quieter ones may be noise, which differs between channels
FADE = 0.999  # of the loudest one, per chunk
SAME_SOUND = 0.1  # channels whose difference has less of their energy than this carry the same sound
SEPARATE_VOTES, RECENT_VOTES = 3, 5  # as many of the last ones say that the channels differ: they do
SAME_VOTES = 10  # as many in a row say that they are alike: they are
MAX_HELD = 10  # chunks that wait for a decision


class ChannelComparison:
    """Do the two channels of a recording carry one sound, inverted or not, or two? The decision may change later.

    Many stereo files are of one microphone. A call with one person per channel may begin with an announcement on both.
    Every loud chunk is a vote. At first the channels count as alike.
    """

    def __init__(self) -> None:
        self.separate = False
        self._alike: deque[bool] = deque(maxlen=SAME_VOTES)
        self._loudest = 0.0

    @property
    def undecided(self) -> bool:
        """The channels count as alike, but recently differed."""
        return not self.separate and self._recent_differences > 0

    def push(self, pair: Float32) -> None:
        """float32[2, n]"""
        rms = float(np.sqrt(np.mean(np.square(pair))))
        self._loudest = max(rms, FADE * self._loudest)
        if rms <= AUDIBLE_RMS or rms < LOUD * self._loudest:
            return
        energy = np.square(pair).sum()
        difference = min(np.square(pair[0] - pair[1]).sum(), np.square(pair[0] + pair[1]).sum())
        self._alike.append(bool(difference < SAME_SOUND * energy))
        if self._recent_differences >= SEPARATE_VOTES:
            self.separate = True
        elif len(self._alike) == SAME_VOTES and all(self._alike):
            self.separate = False

    @property
    def _recent_differences(self) -> int:
        return list(self._alike)[-RECENT_VOTES:].count(False)


def mono_chunks(blocks: Iterator[AudioBlock]) -> Iterator[AudioBlock]:
    """All channels mixed to one."""
    downmix = Downmix()
    yield from _chunks(AudioBlock(it.start_s, downmix(it.pcm, it.layout)[None]) for it in blocks)


def pair_chunks(blocks: Iterator[AudioBlock]) -> Iterator[AudioBlock]:
    """Two channels, apart even where they are alike; where there are more or less, both have the mix of all."""
    yield from _chunks(_pairs(blocks))


def speaker_chunks(blocks: Iterator[AudioBlock]) -> Iterator[AudioBlock]:
    """One channel while there is one person, two from where the two channels first differ.

    Where the two are alike again later, the first carries the sound, and the second is silent. Chunks that differ are
    held back, at most a second, until it is certain.
    """
    comparison, downmix = ChannelComparison(), Downmix()
    held: deque[AudioBlock] = deque()
    two = False

    def released() -> AudioBlock:
        nonlocal two
        chunk = held.popleft()
        two = two or comparison.separate
        if comparison.separate:
            return chunk
        mixed = downmix(chunk.pcm)
        return AudioBlock(chunk.start_s, np.stack([mixed, np.zeros_like(mixed)]) if two else mixed[None])

    for chunk in _chunks(_pairs(blocks)):
        comparison.push(chunk.pcm)
        held.append(chunk)
        while len(held) > (MAX_HELD if comparison.undecided else 0):
            yield released()
    while held:
        yield released()


def _pairs(blocks: Iterator[AudioBlock]) -> Iterator[AudioBlock]:
    downmix = Downmix()
    for block in blocks:
        if len(block.pcm) == 2:
            yield block
        else:
            mixed = downmix(block.pcm, block.layout)
            yield AudioBlock(block.start_s, np.stack([mixed, mixed]))


def _chunks(blocks: Iterator[AudioBlock]) -> Iterator[AudioBlock]:
    """The same audio in blocks of `CHUNK` samples; only before a gap and at the end they are shorter.

    All blocks have the same number of channels.
    """
    waiting: AudioBlock | None = None
    for block in blocks:
        if waiting and abs(block.start_s - waiting.end_s) > 0.5 / SAMPLE_RATE:
            yield waiting
            waiting = None
        if waiting:
            block = AudioBlock(waiting.start_s, np.concatenate([waiting.pcm, block.pcm], axis=1))
        while block.pcm.shape[1] >= CHUNK:
            yield AudioBlock(block.start_s, block.pcm[:, :CHUNK])
            block = AudioBlock(block.start_s + CHUNK / SAMPLE_RATE, block.pcm[:, CHUNK:])
        waiting = block if block.pcm.shape[1] else None
    if waiting:
        yield waiting
