"""What one client may take, and all together: things at once, and things per second. Pure.

A client is an address and, where there is one, a token. Both are counted: many addresses with one token are one client,
and so is one address with many tokens.
"""

import ipaddress
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Collection

from engine.runtime.clocks import Clock

MAX_KEYS = 10_000  # clients whose rate is remembered

Client = tuple[str, ...]  # (address, token) or (address,); () where nothing is counted but the sum


def client_of(address: str) -> str:
    """The address, by which a client is known; of IPv6 the /64 prefix, because one subscriber has all of it."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a socket of another family
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


def slot_refusal(client: Client, holders: Collection[Client], most: int, most_per_client: int = 0) -> str | None:
    """Why the client may not take one more of `most` slots, as a clause, or None. `holders`: of those that are taken.

    A client may hold as many as are free, so that some are left for newcomers, however many clients there are (dynamic
    threshold: Choudhury and Hahne, 1998): the first takes half of all. Or it may hold `most_per_client`, if not 0.
    """
    free = most - len(holders)
    held = max((sum(key in holder for holder in holders) for key in client), default=0)
    if held and held >= (most_per_client or free):
        return f"you have {held} conversations, and {free} are free for others: see max_sessions_per_client"
    return None


class Quota:
    """How many of something each client holds, and all clients together."""

    def __init__(self, most: int, most_per_client: int) -> None:
        self.most = most
        self.most_per_client = most_per_client
        self._held: Counter[str] = Counter()
        self._all = 0

    def __len__(self) -> int:
        return self._all

    def refusal(self, *client: str) -> str | None:
        """Why the client may not take one more, as a clause, or None."""
        for key in client:
            if self._held[key] >= self.most_per_client:
                return f"{key} has {self._held[key]} of at most {self.most_per_client}"
        return f"all {self.most} are taken" if self._all >= self.most else None

    def take(self, *client: str) -> None:
        self._held.update(client)
        self._all += 1

    def release(self, *client: str) -> None:
        self._held.subtract(client)
        self._held = +self._held  # without those that hold none
        self._all -= 1


class RateLimit:
    """A token bucket per client: `per_s` on average, `burst` at once."""

    def __init__(self, per_s: float, burst: float, now: Clock = time.monotonic) -> None:
        self.per_s = per_s
        self.burst = burst
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # (tokens, at), oldest first

    def take(self, *client: str, cost: float = 1.0) -> float:
        """0 where it is granted, else after how many whole seconds it will be."""
        now = self._now()
        filled = {key: self._filled(key, now) for key in client}
        wait_s = max((math.ceil(max(0.0, cost - tokens) / self.per_s) for tokens in filled.values()), default=0)
        for key, tokens in filled.items():
            self._set(key, tokens if wait_s else tokens - cost, now)
        return float(wait_s)

    def charge(self, *client: str, cost: float) -> float:
        """Always granted. Returns for how many seconds the client must now pause, which may be 0."""
        now, wait_s = self._now(), 0.0
        for key in client:
            tokens = self._filled(key, now) - cost
            self._set(key, tokens, now)
            wait_s = max(wait_s, -tokens / self.per_s)
        return wait_s

    def _filled(self, key: str, now: float) -> float:
        tokens, at = self._buckets.get(key, (self.burst, now))
        return min(self.burst, tokens + (now - at) * self.per_s)

    def _set(self, key: str, tokens: float, now: float) -> None:
        self._buckets[key] = (tokens, now)
        self._buckets.move_to_end(key)
        while len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
