"""What driven conversations say."""

import asyncio
from functools import cache
from itertools import islice

import numpy as np
import pytest

from engine.benchmark.talk import LEAST_PAUSE_S, SPEAKERS, ClipLibrary, bundled_clips, payloads

SECONDS = 600.0


@cache
def library() -> ClipLibrary:
    return asyncio.run(bundled_clips(0.1))


@pytest.mark.parametrize("share", [0.25, 0.5])
def test_somebody_speaks_for_the_share_that_was_asked_for(share: float) -> None:
    placed = library().conversation(SECONDS, share, seed=1)
    assert sum(it.clip.duration_s for it in placed) / SECONDS == pytest.approx(share, abs=0.06)
    for before, after in zip(placed, placed[1:], strict=False):
        assert after.packet * 0.1 >= before.packet * 0.1 + before.clip.duration_s + LEAST_PAUSE_S - 0.1
        assert after.track != before.track


def test_a_seed_decides_on_the_order_and_the_times() -> None:
    first, again, other = (library().conversation(60.0, 0.5, seed) for seed in (1, 1, 2))
    assert first == again
    assert [it.packet for it in first] != [it.packet for it in other]


def test_the_packets_are_the_clips_at_their_times_and_noise_between_them() -> None:
    placed = library().conversation(20.0, 0.5, seed=3)
    sent = list(islice(payloads(library(), placed, offset=7, seed=3), 220))
    for it in placed:
        packets = [packet[it.track] for packet in sent[it.packet + 7 :][: len(it.clip.packets)]]
        assert packets == list(it.clip.packets)
    spoken = {(n, it.track) for it in placed for n in range(it.packet + 7, it.packet + 7 + len(it.clip.packets))}
    loud = {
        (n, track)
        for n, packet in enumerate(sent)
        for track in range(len(SPEAKERS))
        if np.abs(np.frombuffer(packet[track], "<i2").astype(int)).max() > 100
    }
    assert loud <= spoken
    assert len(loud) > 0.8 * len(spoken)
