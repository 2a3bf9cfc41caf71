import pytest

from engine.mqtt.topics import LATE_S, Messages, Topics
from engine.store.outbox import OutboxRow

ROW = OutboxRow(1, 1000.0, "current", "demo/1@r", "demo", "alice", '{"type":"emotion"}')


@pytest.mark.parametrize(
    ("age_s", "waited", "historical"), [(0.0, False, False), (LATE_S, False, True), (0.0, True, True)]
)
def test_late_events_are_historical_also_if_the_broker_was_connected(age_s, waited, historical):
    message = Messages(Topics("cberl", "engine"), 60.0, 60.0).event(ROW, ROW.at_s + age_s, waited)
    assert ('"historical":true' in message.payload) is historical
    assert (("historical", "true") in message.properties) is historical
    assert message.expiry_s == 60 - age_s
