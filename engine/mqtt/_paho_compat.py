"""The one place that uses private parts of aiomqtt and paho.

aiomqtt ignores the reason code of a PUBACK and waits for each message by itself, so this class replaces its callback.
paho validates and packs each property by its name, which takes several times as long as the rest of a message, so
properties are handed to it already packed. It looks up the broker's name in a thread of asyncio's pool, which a name
server that never answers would fill, so names are looked up before.
"""

import asyncio
import socket
from abc import ABC, abstractmethod
from typing import Any, Self

import aiomqtt
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode

from engine.runtime.host_name import HostName

CONNECT_S = 5.0  # for each address


class AcknowledgedClient(aiomqtt.Client, ABC):
    """aiomqtt's client with a `publish_packed` that returns at once, and callbacks for what follows."""

    def __init__(self, host: str, *args: Any, name: HostName | None = None, **kwargs: Any) -> None:
        """`name`: of the host, shared by the clients of one broker."""
        super().__init__(host, *args, **kwargs)
        self._name = name or HostName(host)
        self._addresses: list[str] = []
        self._disconnected.add_done_callback(self._on_disconnected)
        self._client._create_socket_connection = self._connection  # type: ignore[method-assign]

    async def __aenter__(self) -> Self:
        """Raises MqttError."""
        try:
            self._addresses = await self._name.addresses()
        except OSError as error:
            raise aiomqtt.MqttError(str(error)) from error
        try:
            return await super().__aenter__()
        except BaseException:
            self._client._sock_close()  # aiomqtt leaves it open where the broker does not answer
            raise

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

    def _connection(self) -> socket.socket:
        """The first address that accepts. Blocking."""
        *others, last = self._addresses
        for address in others:
            try:
                return socket.create_connection((address, self._port), CONNECT_S)
            except OSError:
                continue
        return socket.create_connection((last, self._port), CONNECT_S)

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
