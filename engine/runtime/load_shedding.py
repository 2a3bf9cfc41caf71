"""What is left out when the engine falls behind live. Pure; one for all conversations of a process."""

import time

from engine.runtime.clocks import Clock

FEWER_INTERIM, FEWER_FRAMES, FULL = 1, 2, 3
LAG_S = (0.0, 1.0, 2.0, 4.0)  # seconds behind live at which each level begins
CALM_S = 5.0  # a level ends after this long at less than half its lag


class LoadShedder:
    """Levels of load. 1: fewer interim events, no provisional analysis; 2: fewer video frames; 3: no new conversations.

    Final events are never dropped. The level follows the conversation with the largest lag. It rises at once, and falls
    one level at a time, so that it does not oscillate.
    """

    def __init__(self, now: Clock = time.monotonic) -> None:
        self.level = 0
        self._now = now
        self._lags_s: dict[str, float] = {}
        self._calm_since = now()

    @property
    def lag_s(self) -> float:
        """The largest lag of a conversation."""
        return max(self._lags_s.values(), default=0.0)

    def observe(self, conversation: str, lag_s: float) -> None:
        """Report the lag of a conversation. Call it about once per second."""
        self._lags_s[conversation] = lag_s
        self._update()

    def forget(self, conversation: str) -> None:
        """The conversation has ended."""
        self._lags_s.pop(conversation, None)
        self._update()

    @property
    def ahead(self) -> bool:
        """Whether turns may be analysed provisionally, which may turn out to be unnecessary."""
        return self.level == 0

    def interim(self, number: int) -> bool:
        """Whether to publish the interim event with this running number: all, every fourth, none."""
        return number % 4 == 0 if self.level == FEWER_INTERIM else self.level < FEWER_INTERIM

    def picture(self, number: int) -> bool:
        """Whether to analyse the video frame with this running number: all, or every third."""
        return self.level < FEWER_FRAMES or number % 3 == 0

    @property
    def refusal(self) -> str | None:
        """Why no new conversation may begin, or None."""
        self._update()  # no conversation may be left to report its lag
        if self.level < FULL:
            return None
        return f"the engine is {self.lag_s:.0f} s behind live: try again in a moment"

    def _update(self) -> None:
        lag_s, now = self.lag_s, self._now()
        wanted = max(level for level, least_s in enumerate(LAG_S) if lag_s >= least_s)
        if wanted > self.level:
            self.level = wanted
        while self.level and lag_s < LAG_S[self.level] / 2 and now - self._calm_since >= CALM_S:
            self.level -= 1
            self._calm_since += CALM_S
        if not self.level or lag_s >= LAG_S[self.level] / 2:
            self._calm_since = now
