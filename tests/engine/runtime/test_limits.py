import logging

import pytest

from engine.runtime.limits import MAX_KEYS, Quota, RateLimit, client_of
from engine.runtime.log_limit import LINES, WITHIN_S, LogLimit
from testing.clock import HandClock


@pytest.mark.parametrize(
    ("address", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("fe80::1%eth0", "fe80::/64"),
        ("/run/socket", "/run/socket"),
    ],
)
def test_a_client_is_an_address_and_of_ipv6_a_network(address: str, client: str) -> None:
    assert client_of(address) == client


def test_a_quota_limits_each_client_and_all_together() -> None:
    quota = Quota(most=3, most_per_client=2)
    for client in ("a", "a", "b"):
        assert quota.refusal(client) is None
        quota.take(client)
    assert quota.refusal("a") == "a has 2 of at most 2"
    assert quota.refusal("b") == quota.refusal("c") == "all 3 are taken"
    quota.release("a")
    assert (quota.refusal("a"), quota.refusal("c"), len(quota)) == (None, None, 2)


def test_a_bucket_grants_a_burst_and_then_an_average_and_says_when_to_return() -> None:
    hand = HandClock()
    rate = RateLimit(per_s=2.0, burst=10.0, now=hand)
    assert [rate.take("a") for _ in range(12)] == [0.0] * 10 + [1.0, 1.0]
    assert rate.take("b", cost=10.0) == 0.0
    assert rate.take("a", cost=5.0) == 3.0
    hand.time += 2.4
    assert rate.take("a", cost=5.0) == 1.0
    hand.time += 0.2
    assert (rate.take("a", cost=5.0), rate.take("a")) == (0.0, 1.0)
    for number in range(2 * MAX_KEYS):
        rate.take(str(number))
    assert len(rate._buckets) == MAX_KEYS


def test_a_repeated_log_line_is_limited_and_the_rest_counted() -> None:
    hand = HandClock()
    limit = LogLimit(hand)

    def logged(line: int, text: str = "no more %s") -> str | None:
        record = logging.LogRecord("engine", logging.WARNING, "file.py", line, text, ("files",), None)
        return record.getMessage() if limit.filter(record) else None

    assert [logged(1) for _ in range(LINES + 5)] == ["no more files"] * LINES + [None] * 5
    assert logged(2) == "no more files"
    hand.time += WITHIN_S
    assert logged(1) == "no more files (5 more were not logged)"
    assert logged(1) == "no more files"
