"""Finds the message for which a broker closes the connection, so that it is not sent for ever. Pure.

A broker that gets a message it cannot accept may close the connection instead of refusing the message. After a lost
connection, each message that was not answered is sent by itself. A message that was alone when the connection was lost,
twice, and whose broker accepted a new connection at once, is set aside: a broker that was restarted is not there yet.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence

from cberl.recent import RecentDict
from engine.mqtt.topics import MqttMessage

COSTS = 2  # connections, after which a message is set aside
MAX_SET_ASIDE = 1000  # remembered, so that the state of a speaker is not sent again

Key = tuple[str, str]  # topic and id


class Suspects:
    """Of one broker. `set_aside` counts messages."""

    def __init__(self) -> None:
        self.set_aside = 0
        self._suspected: set[Key] = set()  # not answered when the connection was lost
        self._alone: Key | None = None  # when the connection was lost
        self._costs: Counter[Key] = Counter()
        self._dead: RecentDict[Key, None] = RecentDict(MAX_SET_ASIDE)

    def is_set_aside(self, message: MqttMessage) -> bool:
        return _key(message) in self._dead

    def batches(self, messages: Iterable[MqttMessage]) -> Iterator[Sequence[MqttMessage]]:
        """What to send at once, and have answered before the next."""
        together: list[MqttMessage] = []
        for message in messages:
            if self.is_set_aside(message):
                continue
            if (key := _key(message)) not in self._suspected:
                together.append(message)
                continue
            if together:
                yield together
                together = []
            yield [message]
            self._suspected.discard(key)  # it was answered
            del self._costs[key]
        if together:
            yield together

    def lost(self, unanswered: Sequence[MqttMessage]) -> None:
        """The connection was lost before these were answered."""
        self._suspected = {_key(message) for message in unanswered}
        self._alone = _key(unanswered[0]) if len(unanswered) == 1 else None

    def connected(self, at_once: bool) -> Key | None:
        """The broker has accepted a connection, `at_once` if at the first attempt. Returns what is now set aside."""
        suspect, self._alone = self._alone, None
        if suspect is None or not at_once:
            return None
        self._costs[suspect] += 1
        if self._costs[suspect] < COSTS:
            return None
        self._dead[suspect] = None
        self.set_aside += 1
        return suspect


def _key(message: MqttMessage) -> Key:
    return message.topic, dict(message.properties).get("id", "")
