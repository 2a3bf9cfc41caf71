import logging

import pytest

from engine.runtime.limits import MAX_KEYS, Client, Quota, RateLimit, client_of, slot_refusal
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


def test_an_address_and_its_token_are_each_limited() -> None:
    quota = Quota(most=4, most_per_client=2)
    for client in (("a", "token 1"), ("b", "token 1"), ("a", "token 2")):
        assert quota.refusal(*client) is None
        quota.take(*client)
    assert quota.refusal("c", "token 1") == "token 1 has 2 of at most 2"
    assert quota.refusal("a", "token 3") == "a has 2 of at most 2"
    assert quota.refusal("c", "token 3") is None
    quota.release("a", "token 1")
    assert (quota.refusal("a", "token 1"), len(quota)) == (None, 2)
    rate = RateLimit(per_s=1.0, burst=1.0, now=HandClock())
    assert [rate.take(*client) for client in (("a", "1"), ("b", "1"), ("a", "2"), ("b", "2"))] == [0, 1, 1, 0]


def test_whoever_holds_slots_leaves_as_many_for_newcomers() -> None:
    holders: list[Client] = []
    for number in range(5):
        client = (f"address {number}",)
        while len(holders) < 16 and slot_refusal(client, holders, 16) is None:
            holders.append(client)
    assert [holders.count((f"address {number}",)) for number in range(5)] == [8, 4, 2, 1, 1]
    shared = [("a", "token"), ("b", "token")]
    assert slot_refusal(("c", "token"), shared, 4) == (
        "you have 2 conversations, and 2 are free for others: see max_sessions_per_client"
    )
    assert slot_refusal(("c", "other"), shared, 4) is slot_refusal((), shared, 4) is None
    assert slot_refusal(("c", "token"), shared, 4, most_per_client=3) is None
    assert slot_refusal(("b", "other"), shared, 4, most_per_client=1) is not None
    assert slot_refusal(("a",), [], 1) is None


def test_what_is_charged_is_granted_and_the_debt_is_a_time_to_wait() -> None:
    hand = HandClock()
    rate = RateLimit(per_s=10.0, burst=20.0, now=hand)
    assert [rate.charge("a", "t", cost=15.0), rate.charge("a", cost=15.0), rate.charge("t", cost=5.0)] == [0, 1, 0]
    hand.time += 0.5
    assert rate.charge("a", cost=0.0) == 0.5
    assert rate.charge("b", "t", cost=10.0) == 0.5


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
