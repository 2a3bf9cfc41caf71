"""From speech probabilities to turns: pure, one segmenter per track."""

from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np

from cberl.types import SAMPLE_RATE, Float32
from engine.media import Track
from engine.speech.turn import TrackProgress, Turn, TurnResumed

SPLIT_SEARCH_S = 2.0  # a turn of maximum length is cut at the quietest place in its last seconds
SPLIT_DIP = 0.5  # ... if the level there is at most half of the median around it (-6 dB)


@dataclass(frozen=True, slots=True)
class SegmenterConfig:
    """When a turn starts and ends."""

    threshold_on: float = 0.5  # speech probability that starts a turn
    threshold_off: float = 0.35  # a window of a turn below this is silence
    pre_roll_ms: float = 200.0  # audio kept from before the first window of speech
    min_speech_ms: float = 200.0  # turns with less voiced time are discarded
    end_silence_ms: float = 500.0  # silence that ends a turn, unless `end_after` says otherwise for this pause
    provisional_ms: float = 0.0  # silence after which the provisional turn is emitted; 0: never
    interim_ms: float = 0.0  # interval of interim turns while somebody speaks; 0: never
    tail_ms: float = 150.0  # silence kept after the end of speech
    max_turn_s: float = 15.0  # longer turns are split

    def __post_init__(self) -> None:
        if not 0.0 <= self.threshold_off <= self.threshold_on <= 1.0:
            raise ValueError("thresholds must obey 0 <= threshold_off <= threshold_on <= 1")
        if self.tail_ms > self.end_silence_ms:
            raise ValueError("tail_ms cannot be longer than end_silence_ms: no more audio is there by then")
        if 0 < self.provisional_ms < self.tail_ms:
            raise ValueError("provisional_ms must be 0 or at least tail_ms: the provisional turn has the same tail")
        if self.max_turn_s <= SPLIT_SEARCH_S:
            raise ValueError(f"max_turn_s must be longer than {SPLIT_SEARCH_S} s")


class _Window(NamedTuple):
    pcm: Float32
    start: int  # samples since the segmenter began
    end: int
    voiced: bool


class Segmenter:
    """`push` windows in order, each with its speech probability; get the turns that this completed.

    A turn starts at `threshold_on` and lasts until `end_silence_ms`, to the nearest window, below `threshold_off`.
    Times are media seconds; the first window starts at `start_s`, and each follows the one before without a gap.

    After `provisional_ms` of silence the turn is emitted as it will be if nothing more is said: its final stage has the
    same number, times and audio. If more is said, `TurnResumed` follows. Meanwhile `end_after` may shorten or
    lengthen the silence that ends it, and `settle` ends it at once where so much silence has been pushed already. A
    turn gets its number as soon as it is long enough.
    """

    def __init__(self, track: Track, config: SegmenterConfig, turn_ids: Iterator[int], start_s: float = 0.0) -> None:
        self.track = track
        self._config = config
        self._pre_roll = config.pre_roll_ms * SAMPLE_RATE / 1e3  # samples
        self._turn_ids = turn_ids
        self._start_s = start_s
        self._now = 0  # samples pushed
        self._before: deque[_Window] = deque()  # pre-roll, while nobody speaks
        self._lead = 0  # how many windows at the head of _turn are pre-roll
        self._turn: list[_Window] = []  # pre-roll and all since; empty while nobody speaks
        self._speech_end = 0  # of this turn, samples
        self._continued = False  # this turn continues one that was split
        self._number: int | None = None  # of the turn in progress
        self._provisional = False  # it was emitted as provisional, and speech has not resumed since
        self._end_silence_ms = config.end_silence_ms  # of the present pause
        self._interim_until = 0  # end of its last interim turn, samples

    @property
    def now_s(self) -> float:
        """Media time of the end of what was pushed."""
        return self._media_s(self._now)

    @property
    def speaking_since_s(self) -> float | None:
        """Where the turn in progress started, or None."""
        return self._media_s(self._turn[self._lead].start) if self._turn else None

    @property
    def progress(self) -> TrackProgress:
        """No later turn ends before `until_s`, unless it is cut at the maximum length."""
        until_s = self._media_s(self._speech_end) if self._turn else self.now_s
        return TrackProgress(self.track.id, self.now_s, until_s, self.speaking_since_s)

    def push(self, pcm: Float32, probability: float) -> list[Turn | TurnResumed]:
        """Add one window, float32[n]. At most one turn is completed by it."""
        threshold = self._config.threshold_off if self._turn else self._config.threshold_on
        window = _Window(pcm, self._now, self._now + len(pcm), probability >= threshold)
        self._now = window.end
        if window.voiced:
            self._speech_end = window.end
        if not self._turn:
            if window.voiced:
                self._begin(window)
            else:
                self._remember(window)
            return []
        self._turn.append(window)
        if self._silent_long_enough():
            return self._end()
        if self._now - self._turn[self._lead].start >= self._config.max_turn_s * SAMPLE_RATE:
            return self._split()
        return self._meanwhile(window)

    def push_silence(self, windows: Iterable[Float32]) -> list[Turn | TurnResumed]:
        """Windows without speech: the same as `push` of each, but faster while nobody speaks."""
        if self._turn:
            return [turn for pcm in windows for turn in self.push(pcm, 0.0)]
        for pcm in windows:
            start, self._now = self._now, self._now + len(pcm)
            self._before.append(_Window(pcm, start, self._now, voiced=False))
        self._forget()
        return []

    def end_after(self, turn_id: int, silence_ms: float) -> None:
        """End the turn that is provisional after this much silence. Ignored if it ended or speech has resumed."""
        if self._provisional and turn_id == self._number:
            self._end_silence_ms = max(silence_ms, self._config.tail_ms)

    def settle(self) -> list[Turn | TurnResumed]:
        """The turn that `end_after` has ended, if the silence so far is long enough: without waiting for a window."""
        return self._end() if self._turn and self._silent_long_enough() else []

    def flush(self) -> list[Turn | TurnResumed]:
        """The source ended: the turn in progress ends here, if it is long enough."""
        turns = self._end() if self._turn else []
        self._before.clear()
        return turns

    def _begin(self, window: _Window) -> None:
        self._turn = [*self._before, window]
        self._lead = len(self._before)
        self._continued = False
        self._interim_until = window.start
        self._before.clear()

    def _meanwhile(self, window: _Window) -> list[Turn | TurnResumed]:
        """Updates of the turn in progress that follow from its latest window."""
        config = self._config
        if self._provisional:
            if not window.voiced:
                return []
            self._provisional, self._end_silence_ms = False, config.end_silence_ms
            return [TurnResumed(self._numbered())]
        if 0 < config.provisional_ms <= self._silence_ms() and self._long_enough():
            self._provisional = True
            return [self._whole("provisional")]
        due = 0 < config.interim_ms <= _ms(self._now - self._interim_until)
        if due and window.voiced and self._long_enough():
            self._interim_until = self._now
            return [self._whole("interim")]
        return []

    def _remember(self, window: _Window) -> None:
        self._before.append(window)
        self._forget()

    def _forget(self) -> None:
        """What is too long ago for the pre-roll."""
        while self._before and self._before[-1].end - self._before[0].end >= self._pre_roll:
            self._before.popleft()

    def _end(self) -> list[Turn | TurnResumed]:
        turns: list[Turn | TurnResumed] = [self._whole("final")] if self._long_enough() else []
        windows, self._turn = self._turn, []
        self._over()
        for window in windows:
            self._remember(window)
        return turns

    def _long_enough(self) -> bool:
        """Whether this is a turn. The rest after a split always is: it is the end of something longer."""
        voiced_ms = _ms(sum(len(w.pcm) for w in self._turn[self._lead :] if w.voiced))
        return voiced_ms >= self._config.min_speech_ms or self._continued

    def _whole(self, stage: Literal["interim", "provisional", "final"]) -> Turn:
        last = self._speech_end + self._config.tail_ms * SAMPLE_RATE / 1e3
        kept = [w for w in self._turn if w.end <= last]
        return replace(self._make(kept, self._turn[self._lead].start, self._speech_end), stage=stage)

    def _over(self) -> None:
        """The next turn has another number."""
        self._number, self._provisional, self._end_silence_ms = None, False, self._config.end_silence_ms

    def _split(self) -> list[Turn | TurnResumed]:
        """Cut before the quietest window near the end; a new turn starts there."""
        cut = self._quietest()
        head, tail = self._turn[:cut], self._turn[cut:]
        start, end = self._turn[self._lead].start, max(w.end for w in head if w.voiced)
        turn = self._make(head, start, end, truncated=True)
        self._over()
        self._turn, self._lead, self._continued = [], 0, True
        voiced = [i for i, w in enumerate(tail) if w.voiced]
        if voiced:
            self._turn, self._lead = tail, voiced[0]
            self._interim_until = tail[voiced[0]].start
        else:
            for window in tail:
                self._remember(window)
        return [turn]

    def _quietest(self) -> int:
        """Index in `_turn` where to cut: in the quietest ~100 ms of the last seconds, else before the last window."""
        since = self._now - SPLIT_SEARCH_S * SAMPLE_RATE
        first = next(i for i, w in enumerate(self._turn) if w.start >= since)
        level = np.array([np.sqrt(np.mean(np.square(w.pcm))) for w in self._turn[first:]])  # RMS
        smooth = np.convolve(level, np.full(3, 1 / 3), mode="valid")  # [i]: around first + i + 1
        if smooth.min() > SPLIT_DIP * np.median(smooth):
            return len(self._turn) - 1
        return first + 1 + int(smooth.argmin())

    def _silent_long_enough(self) -> bool:
        """To the nearest window: speech ends somewhere inside its last window, half a window earlier on average."""
        return self._silence_ms() >= self._end_silence_ms - _ms(len(self._turn[-1].pcm)) / 2

    def _silence_ms(self) -> float:
        return _ms(self._now - self._speech_end)

    def _numbered(self) -> int:
        if self._number is None:
            self._number = next(self._turn_ids)
        return self._number

    def _make(self, windows: list[_Window], start: int, end: int, truncated: bool = False) -> Turn:
        return Turn(
            turn_id=self._numbered(),
            track=self.track,
            start_s=self._media_s(start),
            end_s=self._media_s(end),
            pcm=np.concatenate([w.pcm for w in windows]),
            decided_s=self.now_s,
            truncated=truncated,
        )

    def _media_s(self, samples: int) -> float:
        return self._start_s + samples / SAMPLE_RATE


def _ms(samples: int) -> float:
    return samples * 1e3 / SAMPLE_RATE
