"""All brokers together: what is published to them, and the commands that come from them."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from engine.config import Settings
from engine.delivery.change import ChangeDetector, change_rule
from engine.errors import CommandError
from engine.mqtt.broker import Broker, parse_brokers, tls_context
from engine.mqtt.client import MqttClient
from engine.mqtt.control import Conversations, ReceivedMessage, authorised, execute, parse_command
from engine.mqtt.feed import MqttFeed
from engine.mqtt.home_assistant import HomeAssistant
from engine.mqtt.publisher import Incoming, MakeClient, MqttPublisher
from engine.mqtt.states import States, Unsent
from engine.mqtt.topics import Messages, Topics
from engine.runtime.host_name import HostName
from engine.store.writer import EventWriter

MAX_WAITING_COMMANDS = 64

log = logging.getLogger(__name__)


class MqttBridge:
    """Use inside `open_mqtt_bridge`. `feed` is also the event writer's. Commands are executed inside `control`."""

    def __init__(self, settings: Settings, event_writer: EventWriter, feed: MqttFeed) -> None:
        topics = Topics(settings.mqtt_prefix, settings.mqtt_node)
        self._conversations: Conversations | None = None
        self._event_writer = event_writer
        self._feed = feed
        self._token = settings.mqtt_control_token
        self._control_topic = topics.control
        self._messages = Messages(topics, settings.mqtt_expiry_s, settings.mqtt_state_expiry_s)
        self._home = (
            HomeAssistant(settings.home_assistant, topics, settings.mqtt_state_expiry_s)
            if settings.home_assistant
            else None
        )
        self._publishers = [self._publisher(broker, settings) for broker in parse_brokers(settings.mqtt)]

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Start one task per broker; they run until `close`."""
        self._feed.states.push(await self._event_writer.call(self._event_writer.outbox.latest))
        for publisher in self._publishers:
            tasks.create_task(publisher.run(), name=f"broker {publisher.name}")

    async def close(self) -> None:
        await asyncio.gather(*(publisher.close() for publisher in self._publishers))

    @contextmanager
    def control(self, conversations: Conversations) -> Iterator[None]:
        """Inside, commands act on `conversations`. Before and after, they are answered with an error."""
        self._conversations = conversations
        try:
            yield
        finally:
            self._conversations = None

    def forget(self, conversation: str, speakers: Iterable[str]) -> None:
        """Remove what brokers retain of these speakers, and of all others that this run has seen."""
        states = self._feed.states
        people = dict.fromkeys([*states.people(conversation), *((conversation, name) for name in speakers)])
        states.forget(conversation)
        removals = [self._messages.no_state(*person) for person in people]
        removals += [self._home.removal(*person) for person in people] if self._home else []
        for unsent in self._feed.unsent.values():
            unsent.add(removals=removals)

    def status(self) -> dict[str, dict[str, object]]:
        """For `/readyz`. The engine is ready also while a broker is not connected."""
        outbox, lost = self._event_writer.outbox, self._event_writer.lost_outbox
        return {
            it.name: it.status() | {"waiting": outbox.waiting(it.name), "dropped": outbox.dropped[it.name] + lost}
            for it in self._publishers
        }

    def _publisher(self, broker: Broker, settings: Settings) -> MqttPublisher:
        topics = [self._home.birth_topic] if self._home else []
        topics += [self._control_topic] if self._token else []

        async def receive(client: aiomqtt.Client, message: aiomqtt.Message) -> None:
            if message.topic.value == self._control_topic:
                await self._command(client, message)
            elif message.payload == b"online":
                publisher.announce()

        publisher = MqttPublisher(
            broker.name,
            client_maker(broker, settings),
            self._event_writer,
            self._feed.states,
            self._feed.unsent[broker.name],
            self._messages,
            self._home,
            Incoming(tuple(topics), receive),
        )
        return publisher

    async def _command(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        payload = message.payload if isinstance(message.payload, bytes) else b""
        properties = dict(getattr(message.properties, "UserProperty", ()))
        received = ReceivedMessage(payload, message.retain, properties.get("token", ""))
        if not authorised(received, self._token):
            log.warning("a command without the right token came on %s and was ignored", message.topic)
            return
        problem = await self._execute(received)
        topic = getattr(message.properties, "ResponseTopic", None)
        if topic:
            answer = {"ok": problem is None} | ({"error": problem} if problem else {})
            await client.publish(topic, json.dumps(answer), qos=1, properties=_reply(message.properties))

    async def _execute(self, received: ReceivedMessage) -> str | None:
        """Why the command was not executed, or None."""
        try:
            command = parse_command(received)
            if self._conversations is None:
                raise CommandError("The engine is starting or shutting down.")
            await execute(command, self._conversations)
        except CommandError as error:
            log.warning("a command was not executed: %s", error)
            return str(error)
        log.info("executed: %s", command)
        return None


def client_maker(broker: Broker, settings: Settings, identifier: str | None = None) -> MakeClient:
    """Makes clients of this broker. Raises BrokerError where certificates cannot be used."""
    context = tls_context(settings.mqtt_ca, settings.mqtt_cert, settings.mqtt_key) if broker.tls else None
    name = HostName(broker.host)

    def make(will: aiomqtt.Will | None) -> MqttClient:
        return MqttClient(
            broker.host,
            broker.port,
            name=name,
            username=broker.username,
            password=broker.password,
            identifier=identifier or settings.mqtt_client_id or f"{settings.mqtt_prefix}-{settings.mqtt_node}",
            protocol=aiomqtt.ProtocolVersion.V5,
            will=will,
            keepalive=settings.mqtt_keepalive_s,
            clean_start=True,
            max_queued_incoming_messages=MAX_WAITING_COMMANDS,
            tls_context=context,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],  # small messages must not wait for each other
        )

    return make


def mqtt_feed(settings: Settings) -> MqttFeed:
    """What the event writer writes for the brokers of the settings. Raises BrokerError."""
    unsent = {broker.name: Unsent() for broker in parse_brokers(settings.mqtt)}
    return MqttFeed(ChangeDetector(change_rule(settings)), States(), unsent, with_text=settings.mqtt_text)


@asynccontextmanager
async def open_mqtt_bridge(settings: Settings, event_writer: EventWriter, feed: MqttFeed) -> AsyncIterator[MqttBridge]:
    """Connects in the background, since a broker may be down. On exit, sends what waits."""
    bridge = MqttBridge(settings, event_writer, feed)
    async with asyncio.TaskGroup() as tasks:
        await bridge.run(tasks)
        try:
            yield bridge
        finally:
            await event_writer.flush()
            await bridge.close()


def _reply(request: Any) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "application/json"
    if correlation := getattr(request, "CorrelationData", None):
        properties.CorrelationData = correlation
    return properties
