"""What is left out when the engine falls behind: pure, one for all conversations of a process."""

import time

from engine.runtime.clocks import Clock

INTERIM_THIN, PICTURES_THIN, FULL = 1, 2, 3
LAG_S = (0.0, 1.0, 2.0, 4.0)  # behind live by so much: this rung
CALM_S = 5.0  # and down by one after so long at less than half of that


class LoadShedder:
    """A ladder. First interim events thin out and nothing is heard ahead of time, then pictures thin out, then new
    conversations are refused. Never a final.

    Up at once, as far as the conversation that is furthest behind says; down rung by rung, so that it does not swing.
    """

    def __init__(self, now: Clock = time.monotonic) -> None:
        self.rung = 0
        self._now = now
        self._lags_s: dict[str, float] = {}
        self._calm_since = now()

    @property
    def lag_s(self) -> float:
        """Of the conversation furthest behind."""
        return max(self._lags_s.values(), default=0.0)

    def observe(self, conversation: str, lag_s: float) -> None:
        """To be told every second or so."""
        self._lags_s[conversation] = lag_s
        self._climb()

    def forget(self, conversation: str) -> None:
        """It has ended."""
        self._lags_s.pop(conversation, None)
        self._climb()

    @property
    def ahead(self) -> bool:
        """Whether there is time for work that may turn out to be in vain."""
        return self.rung == 0

    def interim(self, number: int) -> bool:
        """Whether the interim event of this running number goes out: all, every fourth, none."""
        return number % 4 == 0 if self.rung == INTERIM_THIN else self.rung < INTERIM_THIN

    def picture(self, number: int) -> bool:
        """Whether the picture of this running number is looked at: all, or every third."""
        return self.rung < PICTURES_THIN or number % 3 == 0

    @property
    def refusal(self) -> str | None:
        """Why no new conversation may begin, or None."""
        self._climb()  # who else would, when the last conversation has ended?
        if self.rung < FULL:
            return None
        return f"the engine is {self.lag_s:.0f} s behind live: try again in a moment"

    def _climb(self) -> None:
        lag_s, now = self.lag_s, self._now()
        wanted = max(rung for rung, least_s in enumerate(LAG_S) if lag_s >= least_s)
        if wanted > self.rung:
            self.rung = wanted
        while self.rung and lag_s < LAG_S[self.rung] / 2 and now - self._calm_since >= CALM_S:
            self.rung -= 1
            self._calm_since += CALM_S
        if not self.rung or lag_s >= LAG_S[self.rung] / 2:
            self._calm_since = now
