"""All brokers together: what each is told, and what they tell the engine."""

import asyncio
import json
import logging
import socket
from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from engine.config import Settings
from engine.errors import CommandError
from engine.mqtt.broker import Broker, parse_brokers, tls_context
from engine.mqtt.change import ChangeConfig, ChangeDetector
from engine.mqtt.client import MqttClient
from engine.mqtt.control import Conversations, ReceivedMessage, authorised, execute, parse_command
from engine.mqtt.feed import MqttFeed, States
from engine.mqtt.home_assistant import HomeAssistant
from engine.mqtt.publisher import Listening, MakeClient, MqttPublisher
from engine.mqtt.topics import Messages, Topics
from engine.store.outbox import OutboxRow
from engine.store.writer import EventWriter

MAX_WAITING_COMMANDS = 64

log = logging.getLogger(__name__)


class MqttBridge:
    """Use inside `open_mqtt_bridge`. Commands are executed inside `control`."""

    def __init__(self, settings: Settings, event_writer: EventWriter, run: str) -> None:
        topics = Topics(settings.mqtt_prefix, settings.mqtt_node)
        self._conversations: Conversations | None = None
        self._event_writer = event_writer
        self._token = settings.mqtt_control_token
        self._control_topic = topics.control
        self._states = States()
        self._messages = Messages(topics, settings.mqtt_expiry_s, settings.mqtt_state_expiry_s)
        self._home = (
            HomeAssistant(settings.home_assistant, topics, settings.mqtt_state_expiry_s)
            if settings.home_assistant
            else None
        )
        self._publishers = [self._publisher(broker, settings) for broker in parse_brokers(settings.mqtt)]
        changes = ChangeConfig(settings.change_confidence, settings.change_turns, settings.change_interval_s)
        event_writer.feed = MqttFeed(ChangeDetector(changes), run, settings.mqtt_text).rows
        event_writer.on_delivered = self._delivered

    async def run(self, tasks: asyncio.TaskGroup) -> None:
        """Starts a task a broker; they go on until `close`."""
        self._states.push(await self._event_writer.call(self._event_writer.outbox.latest))
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
        """What brokers retain of these people, and of all that were heard of in this run, is taken away."""
        people = dict.fromkeys([*self._states.people(conversation), *((conversation, name) for name in speakers)])
        self._states.forget(conversation)
        gone = [self._messages.no_state(*person) for person in people]
        gone += [self._home.removal(*person) for person in people] if self._home else []
        for publisher in self._publishers:
            publisher.tell((), gone)

    def status(self) -> dict[str, dict[str, object]]:
        """For `/readyz`: a broker that is away is no reason to be not ready."""
        outbox = self._event_writer.outbox
        return {
            it.name: {
                "connected": it.connected,
                "waiting": outbox.waiting(it.name),
                "dropped": outbox.dropped[it.name],
                "refused": it.refused,
                **({} if it.connected else {"problem": it.problem}),
            }
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
            self._states,
            self._messages,
            self._home,
            Listening(tuple(topics), receive),
        )
        return publisher

    def _delivered(self, rows: Sequence[OutboxRow]) -> None:
        if rows:
            people = self._states.push(rows)
            for publisher in self._publishers:
                publisher.tell(people)

    async def _command(self, client: aiomqtt.Client, message: aiomqtt.Message) -> None:
        payload = message.payload if isinstance(message.payload, bytes) else b""
        told = dict(getattr(message.properties, "UserProperty", ()))
        received = ReceivedMessage(payload, message.retain, told.get("token", ""))
        if not authorised(received, self._token):
            log.warning("a command without the right token came on %s and was passed over", message.topic)
            return
        problem = None
        try:
            command = parse_command(received)
            if self._conversations is None:
                raise CommandError("The engine is starting or shutting down.")
            execute(command, self._conversations)
            log.info("executed: %s", command)
        except CommandError as error:
            problem = str(error)
            log.warning("a command was not executed: %s", problem)
        topic = getattr(message.properties, "ResponseTopic", None)
        if topic:
            answer = {"ok": problem is None} | ({"error": problem} if problem else {})
            await client.publish(topic, json.dumps(answer), qos=1, properties=_reply(message.properties))


def client_maker(broker: Broker, settings: Settings, identifier: str | None = None) -> MakeClient:
    """Makes clients of this broker. Raises BrokerError where certificates cannot be used."""
    context = tls_context(settings.mqtt_ca, settings.mqtt_cert, settings.mqtt_key) if broker.tls else None

    def make(will: aiomqtt.Will | None) -> MqttClient:
        return MqttClient(
            broker.host,
            broker.port,
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


@asynccontextmanager
async def open_mqtt_bridge(settings: Settings, event_writer: EventWriter, run: str) -> AsyncIterator[MqttBridge]:
    """Connected in the background, since a broker may be away; told of everything that waits before it is left."""
    brokers = MqttBridge(settings, event_writer, run)
    async with asyncio.TaskGroup() as tasks:
        await brokers.run(tasks)
        try:
            yield brokers
        finally:
            await event_writer.flush()
            await brokers.close()


def _reply(request: Any) -> Properties:
    properties = Properties(PacketTypes.PUBLISH)
    properties.ContentType = "application/json"
    if correlation := getattr(request, "CorrelationData", None):
        properties.CorrelationData = correlation
    return properties
