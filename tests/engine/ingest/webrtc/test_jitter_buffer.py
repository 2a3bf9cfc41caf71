"""Lost, late, duplicate and reordered packets."""

import numpy as np
import pytest
from aiortc.rtp import RtpPacket

from engine.ingest.webrtc.jitter_buffer import MAX_DEPTH, JitterBuffer

PACKET_S = 0.02


def packet(number):
    made = RtpPacket(sequence_number=number % 65_536, timestamp=number)
    made._data = b"sound"
    return made


def through(numbers):
    """(buffer, the number of the frame returned for each packet, or None)."""
    buffer = JitterBuffer()
    frames = [buffer.add(packet(number))[1] for number in numbers]
    return buffer, [frame and frame.timestamp for frame in frames]


def arriving(loss, jitter_s, count=5_000, first=65_000):
    """The numbers of packets in the order of their arrival; they wrap around."""
    rng = np.random.default_rng(0)
    arrivals = [((n * PACKET_S) + rng.uniform(0, jitter_s), first + n) for n in range(count) if rng.random() >= loss]
    return [number for _, number in sorted(arrivals)]


@pytest.mark.parametrize("jitter_s", [0.0, 0.2])
@pytest.mark.parametrize("loss", [0.0, 0.05, 0.1, 0.2])
def test_packets_that_arrive_are_decoded_in_order(loss, jitter_s):
    numbers = arriving(loss, jitter_s)
    buffer, out = through(numbers)
    given = [number for number in out if number is not None]
    assert given == sorted(set(given))
    assert len(given) > 0.995 * len(numbers)
    held = [came - went for came, went in zip(numbers, out, strict=True) if went is not None]
    assert max(held) <= (0 if jitter_s == 0 else MAX_DEPTH) + 20 * (loss > 0)  # beyond it only by holes
    assert 4 < buffer.depth <= 11 if jitter_s else buffer.depth == 4


def test_duplicate_and_late_packets_are_discarded():
    numbers = [n for n in range(200) for _ in range(2)] + [103, 150]
    _, out = through(numbers)
    given = [number for number in out if number is not None]
    assert given == sorted(set(given))
    assert given == list(range(200))


@pytest.mark.parametrize("again_from", [0, 20_000, 40_000, 60_000])
def test_no_packet_is_lost_where_a_sender_restarts_its_numbering(again_from):
    numbers = [*range(30_000, 30_100), *range(again_from, again_from + 100)]
    _, out = through(numbers)
    assert out == numbers
