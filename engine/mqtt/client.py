"""An MQTT client that sends many messages at once and reports which of them the broker refused."""

import asyncio
import struct
from collections.abc import Iterable
from functools import cache
from typing import Any, NamedTuple

import aiomqtt

from engine.mqtt._paho_compat import AcknowledgedClient
from engine.mqtt.topics import MqttMessage

_PAYLOAD_IS_UTF_8 = b"\x01\x01"
_EXPIRY, _CONTENT_TYPE, _USER_PROPERTY = b"\x02", b"\x03", b"\x26"  # MQTT 5.0, 2.2.2.2


class Refusal(NamedTuple):
    """A message that the broker refused, and why."""

    topic: str
    reason: str


class MqttClient(AcknowledgedClient):
    """aiomqtt's client with `send`. One call of it at a time."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._unanswered: dict[int, MqttMessage] = {}  # by the number of their packet
        self._refused: list[Refusal] = []
        self._answered = asyncio.Event()  # or there will be no more answers

    @property
    def unanswered(self) -> list[MqttMessage]:
        """Sent and not answered when the connection was lost, in order. None where the broker answers nothing."""
        return list(self._unanswered.values())

    async def send(self, messages: Iterable[MqttMessage]) -> list[Refusal]:
        """Send with QoS 1, in order. Returns what the broker refused, once it has answered all.

        Raises MqttError where the connection is lost, or no answer came for aiomqtt's `timeout`.
        """
        self._unanswered, self._refused = {}, []
        for it in messages:
            try:
                packet = self.publish_packed(it.topic, it.payload, retain=it.retain, properties=pack(it))
            except ValueError as error:  # paho or UTF-8 does not allow it
                self._refused.append(Refusal(it.topic, f"it cannot be sent: {error}"))
                continue
            self._unanswered[packet] = it
        if not self.is_disconnected:
            self._answered.clear()
        while left := len(self._unanswered):
            try:
                async with asyncio.timeout(self.timeout):
                    await self._answered.wait()
                if self.is_disconnected:
                    raise aiomqtt.MqttError("the connection was lost before the broker had answered")
            except TimeoutError as error:  # a slow connection may take longer, as long as answers come
                if len(self._unanswered) == left:
                    self._unanswered.clear()  # it is not the messages that the broker cannot accept
                    raise aiomqtt.MqttError("no answer to what was sent") from error
        return self._refused

    def acknowledged(self, packet: int, refused: str | None) -> bool:
        message = self._unanswered.pop(packet, None)
        if message is None:
            return False
        if refused is not None:
            self._refused.append(Refusal(message.topic, refused))
        if not self._unanswered:
            self._answered.set()
        return True

    def connection_lost(self) -> None:
        self._answered.set()


def pack(message: MqttMessage) -> bytes:
    """The properties of a PUBLISH packet, preceded by their length."""
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
    """A variable byte integer: seven bits per byte, the lowest first; the eighth is set where more follow."""
    packed = bytearray()
    while size > 127:
        packed.append(size & 127 | 128)
        size >>= 7
    packed.append(size)
    return bytes(packed)
