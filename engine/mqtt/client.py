"""aiomqtt's client, with what the engine needs beyond it: many messages in one go, and what the broker refused.

aiomqtt passes over the reason code of a PUBACK, so this stands where it hears of one. Properties are packed here:
paho checks and packs each by its name, which takes several times as long as the rest of a message.
"""

import asyncio
import struct
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import aiomqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from engine.mqtt.topics import MqttMessage

_PAYLOAD_IS_UTF_8 = b"\x01\x01"
_EXPIRY, _CONTENT_TYPE, _USER_PROPERTY = b"\x02", b"\x03", b"\x26"  # MQTT 5.0, 2.2.2.2


class Refusal(NamedTuple):
    """A message that the broker did not take, and why."""

    topic: str
    reason: str


class MqttClient(aiomqtt.Client):
    """`send` beside all that aiomqtt has. One call of it at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unanswered: dict[int, str] = {}  # topics, by the number of their packet
        self._refused: list[Refusal] = []
        self._answered = asyncio.Event()  # or there will be no answer any more
        self._disconnected.add_done_callback(self._gone)

    async def send(self, messages: Iterable[MqttMessage]) -> list[Refusal]:
        """With QoS 1, in order. Returns when the broker has answered all: what it refused.

        Raises MqttError: the broker is gone, or has answered nothing for aiomqtt's `timeout`.
        """
        self._unanswered, self._refused = {}, []
        for it in messages:
            sent = self._client.publish(it.topic, it.payload, 1, it.retain, _Packed(it))
            if sent.rc:
                raise aiomqtt.MqttCodeError(sent.rc, f"nothing can be sent to {it.topic}")
            self._unanswered[sent.mid] = it.topic
        if not self._disconnected.done():
            self._answered.clear()
        while left := len(self._unanswered):
            try:
                async with asyncio.timeout(self.timeout):
                    await self._answered.wait()
                if self._disconnected.done():
                    raise aiomqtt.MqttError("the broker went away before it had answered")
            except TimeoutError as error:  # a slow line may take longer, but something comes
                if len(self._unanswered) == left:
                    raise aiomqtt.MqttError("no answer to what was sent") from error
        return self._refused

    def _gone(self, disconnected: asyncio.Future[None]) -> None:
        if not disconnected.cancelled():
            disconnected.exception()  # seen: aiomqtt leaves it to be found by the garbage collector
        self._answered.set()

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any) -> None:
        topic = self._unanswered.pop(mid, None)
        if topic is None:  # a `publish` of aiomqtt's own
            super()._on_publish(client, userdata, mid, reason_code, properties)
            return
        if reason_code.is_failure:
            self._refused.append(Refusal(topic, str(reason_code)))
        if not self._unanswered:
            self._answered.set()


class _Packed(Properties):
    """Made for one message and only ever packed."""

    packed: bytes

    def __init__(self, message: MqttMessage) -> None:
        object.__setattr__(self, "packed", pack(message))  # paho's own looks every name up

    def pack(self) -> bytes:
        return self.packed

    def __str__(self) -> str:
        return f"{len(self.packed)} bytes"


def pack(message: MqttMessage) -> bytes:
    """The properties of a PUBLISH packet, their length first."""
    body = _content(message.content_type) if message.payload else b""
    if message.expiry_s is not None:
        body += _EXPIRY + struct.pack(">I", message.expiry_s)
    for name, value in message.properties:
        body += _USER_PROPERTY + _string(name) + _string(value)
    return _length(len(body)) + body


@cache
def _content(content_type: str) -> bytes:
    return _PAYLOAD_IS_UTF_8 + _CONTENT_TYPE + _string(content_type)


def _string(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _length(size: int) -> bytes:
    """A variable byte integer: seven bits a byte, the lowest first; the eighth says that more follow."""
    packed = bytearray()
    while size > 127:
        packed.append(size & 127 | 128)
        size >>= 7
    packed.append(size)
    return bytes(packed)
