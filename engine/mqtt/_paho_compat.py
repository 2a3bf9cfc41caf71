"""The one place that uses private parts of aiomqtt and paho.

aiomqtt ignores the reason code of a PUBACK and waits for each message by itself, so this class replaces its callback.
paho validates and packs each property by its name, which takes several times as long as the rest of a message, so
properties are handed to it already packed.
"""

import asyncio
from abc import ABC, abstractmethod
from typing import Any

import aiomqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode


class AcknowledgedClient(aiomqtt.Client, ABC):
    """aiomqtt's client with a `publish_packed` that returns at once, and callbacks for what follows."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._disconnected.add_done_callback(self._on_disconnected)

    @property
    def is_disconnected(self) -> bool:
        return self._disconnected.done()

    def publish_packed(self, topic: str, payload: str, *, retain: bool, properties: bytes) -> int:
        """Send with QoS 1. Returns the number of the packet, for `acknowledged`. Raises MqttCodeError."""
        sent = self._client.publish(topic, payload, 1, retain, _PackedProperties(properties))
        if sent.rc:
            raise aiomqtt.MqttCodeError(sent.rc, f"nothing can be sent to {topic}")
        return sent.mid

    @abstractmethod
    def acknowledged(self, packet: int, refused: str | None) -> bool:
        """The broker has answered a packet, with this reason if it refused it.

        False means that the packet was not sent by `publish_packed`.
        """

    @abstractmethod
    def connection_lost(self) -> None:
        """No acknowledgement follows."""

    def _on_disconnected(self, disconnected: asyncio.Future[None]) -> None:
        if not disconnected.cancelled():
            disconnected.exception()  # retrieved: aiomqtt leaves it to be reported by the garbage collector
        self.connection_lost()

    def _on_publish(self, client: Any, userdata: Any, mid: int, reason_code: ReasonCode, properties: Any) -> None:
        if not self.acknowledged(mid, str(reason_code) if reason_code.is_failure else None):
            super()._on_publish(client, userdata, mid, reason_code, properties)


class _PackedProperties(Properties):
    """The properties of one PUBLISH packet, already packed."""

    packed: bytes

    def __init__(self, packed: bytes) -> None:
        object.__setattr__(self, "packed", packed)  # paho's own `__setattr__` looks up every name

    def pack(self) -> bytes:
        return self.packed

    def __str__(self) -> str:
        return f"{len(self.packed)} bytes"
