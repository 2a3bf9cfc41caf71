"""What one client may take, and all together: connections at once, and new ones per second. Pure."""

import ipaddress
import math
import time
from collections import Counter, OrderedDict

from engine.runtime.clocks import Clock

MAX_KEYS = 10_000  # clients whose rate is remembered


def client_of(address: str) -> str:
    """The address, by which a client is known; of IPv6 the /64 prefix, because one subscriber has all of it."""
    try:
        ip = ipaddress.ip_address(address.partition("%")[0])
    except ValueError:  # a socket of another family
        return address
    if isinstance(ip, ipaddress.IPv6Address):
        return str(ip.ipv4_mapped or ipaddress.ip_network((ip, 64), strict=False))
    return str(ip)


class Quota:
    """How many of something each client holds, and all clients together."""

    def __init__(self, most: int, most_per_client: int) -> None:
        self.most = most
        self.most_per_client = most_per_client
        self._held: Counter[str] = Counter()
        self._all = 0

    def __len__(self) -> int:
        return self._all

    def refusal(self, client: str, units: int = 1) -> str | None:
        """Why the client may not take as many more, as a clause, or None."""
        if self._held[client] + units > self.most_per_client:
            return f"{client} has {self._held[client]} of at most {self.most_per_client}"
        if self._all + units > self.most:
            return f"all {self.most} are taken"
        return None

    def take(self, client: str, units: int = 1) -> None:
        self._held[client] += units
        self._all += units

    def release(self, client: str, units: int = 1) -> None:
        self._held[client] -= units
        self._all -= units
        if self._held[client] <= 0:
            del self._held[client]


class RateLimit:
    """A token bucket per client: `per_s` on average, `burst` at once."""

    def __init__(self, per_s: float, burst: float, now: Clock = time.monotonic) -> None:
        self.per_s = per_s
        self.burst = burst
        self._now = now
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # (tokens, at), oldest first

    def take(self, client: str, cost: float = 1.0) -> float:
        """0 where it is granted, else after how many seconds it will be."""
        now = self._now()
        tokens, at = self._buckets.pop(client, (self.burst, now))
        tokens = min(self.burst, tokens + (now - at) * self.per_s)
        wait_s = 0.0 if tokens >= cost else math.ceil((cost - tokens) / self.per_s)
        self._buckets[client] = (tokens if wait_s else tokens - cost, now)
        while len(self._buckets) > MAX_KEYS:
            self._buckets.popitem(last=False)
        return wait_s
