"""What is left out of a conversation that falls behind live, and whether another one may begin. Pure."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from statistics import median_low

from engine.loop_time import loop_time_s
from engine.runtime.clocks import Clock
from engine.runtime.limits import Client

FEWER_INTERIM, FEWER_FRAMES, FULL = 1, 2, 3
LAG_S = (0.0, 1.0, 2.0, 4.0)  # seconds behind live at which each level begins
CALM_S = 5.0  # a level ends after this long at less than half its lag


class LoadShedder:
    """Levels of load of one conversation. 1: fewer interim events, no provisional analysis; 2: fewer video frames.

    At level 3 it counts as behind (see `EngineLoad`). Final events are never dropped. The level rises at once and falls
    one level at a time, so that it does not oscillate.
    """

    def __init__(self, now: Clock = loop_time_s, client: Client = ()) -> None:
        """`client`: who opened the conversation."""
        self.client = client
        self.level = 0
        self.lag_s = 0.0
        self._now = now
        self._calm_since = now()

    def observe(self, lag_s: float) -> None:
        """Report the lag of the conversation. Call it about once per second."""
        self.lag_s, now = lag_s, self._now()
        wanted = max(level for level, least_s in enumerate(LAG_S) if lag_s >= least_s)
        if wanted > self.level:
            self.level = wanted
        while self.level and lag_s < LAG_S[self.level] / 2 and now - self._calm_since >= CALM_S:
            self.level -= 1
            self._calm_since += CALM_S
        if not self.level or lag_s >= LAG_S[self.level] / 2:
            self._calm_since = now

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


class EngineLoad:
    """The load of all conversations of a process.

    Models serve clients in turn, and the conversations of one client in turn. So who asks for more than a fair share
    falls behind by their own fault: a conversation that is behind sheds its own load, and a client whose conversations
    are behind may open no other. Others are refused only where most clients are behind.
    """

    def __init__(self, now: Clock = loop_time_s) -> None:
        self._now = now
        self._conversations: dict[str, LoadShedder] = {}

    def open(self, conversation: str, client: Client = ()) -> LoadShedder:
        """That of a conversation that begins, opened by this client."""
        load = self._conversations[conversation] = LoadShedder(self._now, client)
        return load

    def close(self, conversation: str, load: LoadShedder) -> None:
        """The conversation has ended. No effect where it has begun again since."""
        if self._conversations.get(conversation) is load:
            del self._conversations[conversation]

    @property
    def lag_s(self) -> float:
        """Of the conversation furthest behind."""
        return max((load.lag_s for load in self._conversations.values()), default=0.0)

    @property
    def levels(self) -> Counter[int]:
        """How many conversations are at each level of load shedding."""
        return Counter(load.level for load in self._conversations.values())

    def refusal(self, client: Client = ()) -> str | None:
        """Why this client may not open another conversation now, or None."""
        loads = self._conversations.values()
        own = [load for load in loads if not set(client).isdisjoint(load.client)]
        if _mostly([load.level >= FULL for load in own]):
            return f"your conversations are {_median_s(own):.0f} s behind live: try again in a moment"
        for key in (0, -1):  # by address, by token
            clients = defaultdict(list)
            for name, load in self._conversations.items():
                clients[load.client[key] if load.client else name].append(load)
            behind = [_behind(theirs) for theirs in clients.values()]
            if not _mostly(behind):
                return None
        return f"the engine is {_median_s(loads):.0f} s behind live: try again in a moment"


def _behind(loads: list[LoadShedder]) -> bool:
    return 2 * sum(load.level >= FULL for load in loads) > len(loads)


def _mostly(behind: list[bool]) -> bool:
    """More than half of them, and not a single one."""
    return sum(behind) >= 2 and 2 * sum(behind) > len(behind)


def _median_s(loads: Iterable[LoadShedder]) -> float:
    return median_low(load.lag_s for load in loads)
