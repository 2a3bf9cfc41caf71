"""Which message costs the connection: found among innocent ones, and not blamed for a broker that crashed."""

from engine.mqtt.suspects import Suspects
from engine.mqtt.topics import MqttMessage


def message(number: int) -> MqttMessage:
    return MqttMessage("topic", "{}", properties=(("id", str(number)),))


WINDOW = [message(number) for number in range(6)]
BAD = WINDOW[3]


def send(suspects: Suspects, *, at_once: bool = True) -> list[MqttMessage]:
    """One connection, which the broker closes at BAD. Returns what is not answered."""
    suspects.connected(at_once)
    for batch in suspects.batches(WINDOW):
        if BAD in batch:
            unanswered = list(batch[batch.index(BAD) :])
            suspects.lost(unanswered)
            return unanswered
    return []


def test_a_message_that_costs_the_connection_is_found_and_set_aside() -> None:
    suspects = Suspects()
    lost = [send(suspects) for _ in range(4)]
    assert lost[0] == WINDOW[3:]
    assert lost[-1] == []
    assert [it for it in WINDOW if suspects.is_set_aside(it)] == [BAD]
    assert suspects.set_aside == 1
    assert list(suspects.batches(WINDOW))[-1] != []


def test_a_broker_that_crashes_again_and_again_costs_no_message() -> None:
    suspects = Suspects()
    for _ in range(10):
        send(suspects, at_once=False)
    assert suspects.set_aside == 0
