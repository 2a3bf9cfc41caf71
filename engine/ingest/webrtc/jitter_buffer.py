"""Packets of sound in their order again, whatever the network did to them. No sockets, no clock.

aiortc's own buffer waits 16 packets for each one that is lost and then throws away what came meanwhile: with one packet
in ten lost, it gives out little more than half of what arrived.
"""

from aiortc import RTCRtpReceiver
from aiortc.jitterbuffer import JitterFrame
from aiortc.rtp import RtpPacket

FIRST_DEPTH, MOST_DEPTH = 4, 16  # packets; of 20 ms each as a rule
MOST_LATE = 100  # packets: a packet that comes later means that the sender has restarted its numbering


class JitterBuffer:
    """Gives out one packet for each that comes in: the next one at once, where it is there.

    Where it is not, the others wait until `depth` have come after it; then it is lost. A packet that comes too late is
    left out, and from then on holes are waited for as long as that one would have needed, up to `MOST_DEPTH`. What
    waited comes out one for one, so a hole delays all that follows, until packets are lost: the delay is what the
    network made necessary, and nothing where it keeps order.
    """

    def __init__(self) -> None:
        self.depth = FIRST_DEPTH
        self._waiting: dict[int, RtpPacket] = {}  # by a number that does not wrap
        self._newest: tuple[int, int] | None = None  # its number, and as the packet has it
        self._next = 0  # the number that comes out next, unless it is lost

    def add(self, packet: RtpPacket) -> tuple[bool, JitterFrame | None]:
        """Called as aiortc calls its own: (whether to ask for a whole picture, what is to be decoded now)."""
        number = self._number(packet.sequence_number)
        assert self._newest is not None
        newest = self._newest[0]
        if number >= self._next:
            self._waiting[number] = packet
        else:
            self.depth = min(MOST_DEPTH, max(self.depth, newest - number + 1))
        complete = self._next in self._waiting
        if not self._waiting or not (complete or newest - self._next >= self.depth):
            return False, None
        first = min(self._waiting)
        self._next = first + 1
        out = self._waiting.pop(first)
        return False, JitterFrame(out._data, out.timestamp)  # type: ignore[attr-defined]

    def _number(self, sequence: int) -> int:
        if self._newest is None:
            self._newest, self._next = (sequence, sequence), sequence
            return sequence
        newest, known_as = self._newest
        step = (sequence - known_as + 0x8000) % 0x10000 - 0x8000
        if step < -MOST_LATE:
            step = 1
        if step > 0:
            self._newest = newest + step, sequence
        return newest + step


def replace_jitter_buffer(receiver: RTCRtpReceiver) -> None:
    """Give a receiver of sound this buffer in place of its own, before its first packet."""
    name = "_RTCRtpReceiver__jitter_buffer"  # there is no other way in
    if not hasattr(receiver, name):
        raise AttributeError(
            "this version of aiortc keeps its jitter buffer elsewhere: install the one of constraints.txt"
        )
    setattr(receiver, name, JitterBuffer())
