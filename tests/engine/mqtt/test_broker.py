import pytest

from engine.mqtt.broker import Broker, BrokerError, parse_brokers, tls_context
from engine.runtime.backoff import Backoff


def test_brokers_are_urls():
    found = parse_brokers("mqtt://localhost, mqtts://me:p%40ss@broker.example:9999/,mqtt://[::1]:1884")
    assert found == [
        Broker("localhost", 1883),
        Broker("broker.example", 9999, True, "me", "p@ss"),
        Broker("::1", 1884),
    ]
    assert parse_brokers("mqtts://h")[0].port == 8883
    assert parse_brokers("") == []
    assert "p@ss" not in repr(found)


@pytest.mark.parametrize("text", ["localhost:1883", "http://secret@h", "mqtt://", "mqtt://secret@h:x", "mqtt://h/a",
                                  "mqtt://h,mqtt://h"])  # fmt: skip
def test_invalid_addresses_are_refused_without_printing_passwords(text):
    with pytest.raises(BrokerError, match=r"^mqtt") as caught:
        parse_brokers(text)
    assert "secret" not in str(caught.value)


def test_missing_certificates_are_named():
    with pytest.raises(BrokerError, match="mqtt_ca, mqtt_cert or mqtt_key cannot be used: .*No such file"):
        tls_context("/nowhere.pem", "", "")


def test_waits_double_up_to_a_limit_and_differ_between_clients():
    backoff, other = Backoff("a", 1.0, 8.0), Backoff("b", 1.0, 8.0)
    waits = [backoff.next_s() for _ in range(6)]
    assert all(limit / 2 <= wait <= limit for wait, limit in zip(waits, [1, 2, 4, 8, 8, 8], strict=True))
    assert waits != [other.next_s() for _ in range(6)]
    backoff.reset()
    assert backoff.next_s() <= 1.0
