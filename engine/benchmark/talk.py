"""What a driven conversation says, and when: turns of the bundled recording on two tracks, with pauses."""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import engine.demo
from cberl.types import SAMPLE_RATE, Float32
from engine.demo.score import Script, read_script
from engine.ingest.file import read_media

FOLDER = Path(engine.demo.__file__).parent
SPEAKERS = ("ann", "bob")
LEAST_PAUSE_S = 1.5  # after each turn, so that it ends by silence
MARGIN_S = 0.05  # of the recording before and after a turn
ROOM = 2e-4  # RMS of the noise between turns
NOISE_PACKETS = 50  # different ones, which are repeated


@dataclass(frozen=True, slots=True)
class Clip:
    """One turn as packets of pcm_s16le, with the room's noise. Speech is from `MARGIN_S` to `speech_end_s`."""

    text: str
    packets: tuple[bytes, ...]
    speech_end_s: float

    @property
    def duration_s(self) -> float:
        return self.speech_end_s + MARGIN_S


@dataclass(frozen=True, slots=True)
class PlacedClip:
    """A clip of the track with this number; its first packet is the one with the number `packet`."""

    packet: int
    track: int
    clip: Clip


class ClipLibrary:
    """Packets of `packet_s` seconds: of all turns of a recording, and of the noise between them."""

    def __init__(self, script: Script, channels: Float32, packet_s: float) -> None:
        """`channels`: float32[speakers, n] at 16 kHz, in the order of the script's speakers."""
        self.packet_s = packet_s
        self._samples = round(packet_s * SAMPLE_RATE)
        self._random = np.random.default_rng(0)
        self.noise = [_pcm_s16le(self._room(self._samples)) for _ in range(NOISE_PACKETS)]
        self.clips = [
            self._clip(it.text, channels[script.speakers.index(it.speaker)], it.start_s, it.end_s)
            for it in script.turns
        ]

    def _clip(self, text: str, channel: Float32, start_s: float, end_s: float) -> Clip:
        first, last = max(0, round((start_s - MARGIN_S) * SAMPLE_RATE)), round((end_s + MARGIN_S) * SAMPLE_RATE)
        pcm = channel[first:last]
        whole = np.pad(pcm, (0, -len(pcm) % self._samples))
        whole = whole + self._room(len(whole))
        packets = (whole[at : at + self._samples] for at in range(0, len(whole), self._samples))
        return Clip(text, tuple(map(_pcm_s16le, packets)), MARGIN_S + end_s - start_s)

    def _room(self, samples: int) -> Float32:
        return self._random.normal(0, ROOM, samples).astype(np.float32)

    def conversation(self, seconds: float, speaking: float, seed: int) -> list[PlacedClip]:
        """Turns of two speakers who alternate, within `seconds`, in an order that `seed` decides on.

        Somebody speaks for the share `speaking` of the time: after each turn comes a pause that makes it so, but not
        less than `LEAST_PAUSE_S`.
        """
        rng = np.random.default_rng(seed)
        at_s = rng.uniform(0.0, _pause_s(self.clips[rng.integers(len(self.clips))], speaking))
        orders = (rng.permutation(len(self.clips)) for _ in itertools.count())
        placed: list[PlacedClip] = []
        for n, number in enumerate(itertools.chain.from_iterable(orders)):
            clip = self.clips[number]
            if at_s + clip.duration_s + LEAST_PAUSE_S > seconds:
                return placed
            placed.append(PlacedClip(round(at_s / self.packet_s), n % len(SPEAKERS), clip))
            at_s += clip.duration_s + _pause_s(clip, speaking)
        raise AssertionError("the orders do not end")


async def bundled_clips(packet_s: float) -> ClipLibrary:
    """Of the demo's recording."""
    script = read_script(FOLDER / "conversation.json")
    speakers = list(script.speakers)
    pieces = [it async for it in read_media(str(FOLDER / "conversation.flac"), speakers=speakers)]
    channels = [np.concatenate([it.pcm for it in pieces if it.track.speaker == name]) for name in speakers]
    return ClipLibrary(script, np.stack(channels), packet_s)


def payloads(library: ClipLibrary, placed: Sequence[PlacedClip], offset: int, seed: int) -> Iterator[list[bytes]]:
    """The packets of all tracks, packet by packet, without end. Clips begin `offset` packets later than placed."""
    starts = {(it.packet + offset, it.track): it.clip for it in placed}
    playing: list[Iterator[bytes]] = [iter(()) for _ in SPEAKERS]
    for n in itertools.count(seed):
        found = []
        for track in range(len(SPEAKERS)):
            if clip := starts.get((n - seed, track)):
                playing[track] = iter(clip.packets)
            noise = library.noise[(n + track) % NOISE_PACKETS]
            found.append(next(playing[track], noise))
        yield found


def _pause_s(clip: Clip, speaking: float) -> float:
    return max(LEAST_PAUSE_S, clip.duration_s * (1 - speaking) / speaking)


def _pcm_s16le(pcm: Float32) -> bytes:
    return (np.clip(pcm, -1, 1) * 32_767).astype("<i2").tobytes()
