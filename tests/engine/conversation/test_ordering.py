from dataclasses import dataclass, field
from random import Random

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.conversation.ordering import TurnOrder

SILENCE = 5  # what ends a turn, in steps of media time; nobody is further behind


@dataclass
class Track:
    """One voice, heard step by step; its turns end with `SILENCE`."""

    voiced: list[bool]
    lateness: int  # steps behind the clock at which it is heard
    now: int = 0
    voice_end: int | None = None  # of the turn under way
    turns: list[int] = field(default_factory=list)

    def step(self) -> int | None:
        """Hear one step; the end of the turn that this decided."""
        voiced, self.now = self.voiced[self.now], self.now + 1
        if voiced:
            self.voice_end = self.now
        elif self.voice_end is not None and self.now - self.voice_end >= SILENCE:
            ended, self.voice_end = self.voice_end, None
            return ended
        return None


STEPS = 60
# Bit by bit whether there is voice, and how late it is heard.
VOICES = st.lists(st.tuples(st.integers(0, 2**STEPS - 1), st.integers(0, SILENCE - 1)), min_size=1, max_size=4)


@given(VOICES, st.integers(0, 2**32))
@settings(deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
def test_turns_come_in_the_order_of_their_ends_whichever_track_is_analysed_first(
    voices: list[tuple[int, int]], seed: int
) -> None:
    tracks = [Track([bool(bits >> step & 1) for step in range(STEPS)], lateness) for bits, lateness in voices]
    random = Random(seed)
    order: TurnOrder[int] = TurnOrder(SILENCE)
    came: list[int] = []
    decided: list[int] = []
    for track in tracks:
        order.settle(id(track), 0, 0)
    for clock in range(STEPS + SILENCE):
        for track in random.sample(tracks, len(tracks)):
            if clock >= track.lateness and track.now < STEPS:
                end = track.step()
                if end is not None:
                    decided.append(end)
                    order.push(end, end)
                until = track.now if track.voice_end is None else track.voice_end
                order.settle(id(track), track.now, until)
            while (turn := order.next()) is not None:
                came.append(turn)
        heard = max(track.now for track in tracks)
        # Nobody waits for longer than the silence that ends a turn, but for a track heard late.
        assert all(heard - end <= 3 * SILENCE for end in decided if end not in came)
    order.let_go()
    while (turn := order.next()) is not None:
        came.append(turn)
    assert came == sorted(decided)


def test_a_stalled_track_is_not_waited_for() -> None:
    order: TurnOrder[str] = TurnOrder(0.5)
    order.settle("ann", 1.2, 1.0)
    order.settle("bob", 1.7, 1.7)
    order.push(1.1, "bob")
    assert order.next() is None  # ann fell silent at 1.0 and may have said her last
    order.settle("bob", 1.71, 1.71)
    assert order.next() == "bob"
    order.push(1.0, "ann")  # what comes too late comes out at once
    assert order.next() == "ann"


def test_a_source_that_leaves_neither_waits_nor_is_waited_for() -> None:
    order: TurnOrder[str] = TurnOrder(0.5)
    order.settle("ann", 1.4, 1.0)
    order.settle("bob", 1.4, 1.4)
    order.push(1.3, "late")
    order.push(1.2, "bob")
    assert order.next() is None
    order.leave(["bob"], last_end_s=1.2)
    assert order.next() == "bob"
    assert order.next() is None
    order.leave(["ann"], last_end_s=0.9)
    assert order.next() == "late"
    assert len(order) == 0
