"""Puts packets of audio in order. No sockets, no clock.

aiortc's own jitter buffer waits for 16 packets whenever one is lost, and then discards what arrived meanwhile: with one
packet in ten lost, little more than half of those that arrived are decoded.
"""

from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

from engine.ingest.webrtc._aiortc_compat import encoded_frame

MIN_DEPTH, MAX_DEPTH = 4, 16  # packets, usually of 20 ms each
MAX_LATE = 100  # packets; one that is later is from a sender that has restarted its numbering


class JitterBuffer:
    """Returns one packet for each that arrives, the next one in order where it is there.

    Where it is missing, the others wait until `depth` packets have arrived after it; then it counts as lost. A packet
    that arrives later is discarded, and `depth` grows by as much as it would have needed, up to `MAX_DEPTH`. Packets
    that waited are returned one by one, so that a missing packet delays all that follow until one is lost: the delay is
    what the network makes necessary, and zero where it keeps the order.
    """

    def __init__(self) -> None:
        self.depth = MIN_DEPTH
        self._waiting: dict[int, RtpPacket] = {}  # by a number that does not wrap around
        self._newest: tuple[int, int] | None = None  # that number, and the packet's own
        self._next = 0  # the number to return next, unless it is lost

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Called by aiortc: (whether to request a key frame, the next frame to decode)."""
        number = self._number(packet.sequence_number)
        assert self._newest is not None
        newest = self._newest[0]
        if number >= self._next:
            self._waiting[number] = packet
        else:
            self.depth = min(MAX_DEPTH, max(self.depth, newest - number + 1))
        complete = self._next in self._waiting
        if not self._waiting or not (complete or newest - self._next >= self.depth):
            return False, None
        first = min(self._waiting)
        self._next = first + 1
        return False, encoded_frame(self._waiting.pop(first))

    def _number(self, sequence: int) -> int:
        if self._newest is None:
            self._newest, self._next = (sequence, sequence), sequence
            return sequence
        newest, newest_sequence = self._newest
        step = (sequence - newest_sequence + 0x8000) % 0x10000 - 0x8000
        if step < -MAX_LATE:
            step = 1
        if step > 0:
            self._newest = newest + step, sequence
        return newest + step
