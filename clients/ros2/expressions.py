"""Which expression is published for which event, and where. Pure: no ROS, no sockets."""

import re
from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from clients.kiosk.face import expression

REMEMBERED = 1000  # ids of events, so that one that is delivered twice is published once


@dataclass(frozen=True, slots=True)
class PublishedExpression:
    """`topic`: a valid name in ROS. The rest are the fields of `hri_msgs/Expression` beside its header."""

    topic: str
    expression: str
    valence: float
    arousal: float
    confidence: float


class ExpressionMapper:
    """`topic` may have `{speaker}`, which is replaced by the speaker's name as a valid part of a ROS name."""

    def __init__(self, topic: str) -> None:
        self._topic = topic
        self._seen: OrderedDict[str, None] = OrderedDict()

    def push(self, event: dict[str, Any]) -> PublishedExpression | None:
        """None for an event that says nothing about the present, or that was here before.

        Raises KeyError or TypeError where it is not the JSON of an emotion event.
        """
        if event.get("historical") or event["status"] != "final" or self._is_repeated(event["id"]):
            return None
        fields = expression(event)
        return PublishedExpression(
            self._topic.replace("{speaker}", ros_name(event["speaker"])),
            fields["expression"],
            float(fields["valence"]),
            float(fields["arousal"]),
            float(fields["confidence"]),
        )

    def _is_repeated(self, id_: str) -> bool:
        if id_ in self._seen:
            return True
        self._seen[id_] = None
        if len(self._seen) > REMEMBERED:
            self._seen.popitem(last=False)
        return False


def ros_name(speaker: str) -> str:
    """Letters, digits and underscores, and no digit at first, as ROS demands. Different names may become the same."""
    name = re.sub(r"_{2,}", "_", re.sub(r"[^A-Za-z0-9_]", "_", speaker))
    return f"_{name}" if name[:1].isdigit() else name
