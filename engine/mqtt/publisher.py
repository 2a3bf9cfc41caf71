"""One broker: connect, say what waited and what is, stay; come back when it was lost. MQTT v5 through aiomqtt.

    outbox (disk) ─ rows ──┐
    states (memory) ─ new ─┴─► messages ─ QoS 1, in order, a window at a time ─► acknowledged ─► outbox

A row leaves the outbox when the broker has answered it and the state that came with it. So after a break some are
sent twice, with the same id, and none is missed. What waited when the connection came up is historical. What the
broker refuses, by an access list say, is counted and told, and is not sent again: it would be refused again.
"""

import asyncio
import logging
import sqlite3
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass

import aiomqtt
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from engine.mqtt.broker import Backoff
from engine.mqtt.client import MqttClient, Refusal
from engine.mqtt.feed import Person, States
from engine.mqtt.home_assistant import HomeAssistant
from engine.mqtt.topics import Messages, MqttMessage
from engine.runtime.clocks import unix_s
from engine.store.writer import EventWriter

WINDOW = 400  # rows under way at once
MOST_TOLD = 1000  # refusals that differ in topic or reason, and are told in the log
DRAIN_S = 3.0  # for what waits, when the engine ends
STABLE_S = 5.0  # a connection that lasts so long is a good one: the next wait is short again

log = logging.getLogger(__name__)
MakeClient = Callable[[aiomqtt.Will | None], MqttClient]
Receive = Callable[[aiomqtt.Client, aiomqtt.Message], Awaitable[None]]


@dataclass(frozen=True, slots=True, eq=False)
class Listening:
    """Topics that are subscribed to, and what is done with what comes."""

    topics: tuple[str, ...] = ()
    receive: Receive | None = None


class MqttPublisher:
    """`run` it as a task, `tell` it what is new, `close` it."""

    def __init__(
        self,
        name: str,
        make_client: MakeClient,
        event_writer: EventWriter,
        states: States,
        messages: Messages,
        home: HomeAssistant | None = None,
        listening: Listening | None = None,
        backoff: Backoff | None = None,
    ) -> None:
        self.name = name
        self.connected = False
        self.refused = 0  # messages
        self.problem = "not connected yet"
        self._make_client = make_client
        self._event_writer = event_writer
        self._states = states
        self._messages = messages
        self._home = home
        self._listening = listening or Listening()
        self._backoff = backoff or Backoff(name)
        self._new: dict[Person, None] = {}  # whose state is to be sent
        self._retained: list[MqttMessage] = []  # what is to be taken away
        self._announced: set[Person] = set()  # to Home Assistant, on this connection
        self._wake = asyncio.Event()
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._told: set[Refusal] = set()

    def tell(self, people: Iterable[Person], retained: Iterable[MqttMessage] = ()) -> None:
        """Rows were added to the outbox, and these people's state is new."""
        self._new |= dict.fromkeys(people)
        self._retained += retained
        self._wake.set()

    def announce(self) -> None:
        """Home Assistant has started: tell it of everybody."""
        self._announced.clear()
        self.tell(self._states.people())

    async def run(self) -> None:
        """Until `close`, whatever happens to the broker."""
        self._task = asyncio.current_task()
        while not self._closing.is_set():
            try:
                await self._connect()
            except* (aiomqtt.MqttError, sqlite3.Error, OSError) as errors:
                self._lost(_first(errors))
            finally:
                self.connected = False
            if not self._closing.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), self._backoff.next_s())

    async def close(self) -> None:
        """Send what waits, for a moment; say offline; leave."""
        self._closing.set()
        self._wake.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=DRAIN_S + 1.0)
            self._task.cancel()

    async def _connect(self) -> None:
        gone = self._messages.status(online=False)
        properties = Properties(PacketTypes.WILLMESSAGE)
        properties.PayloadFormatIndicator = 1  # UTF-8
        properties.ContentType = gone.content_type
        will = aiomqtt.Will(gone.topic, gone.payload, qos=1, retain=True, properties=properties)
        async with self._make_client(will) as client:
            stable = asyncio.get_running_loop().call_later(STABLE_S, self._backoff.reset)
            try:
                async with asyncio.TaskGroup() as tasks:
                    reader = tasks.create_task(self._read(client), name=f"mqtt reader {self.name}")
                    await self._stay(client)
                    reader.cancel()
            finally:
                stable.cancel()

    async def _stay(self, client: MqttClient) -> None:
        self._historical = self._event_writer.outbox.newest
        for topic in self._listening.topics:
            await client.subscribe(topic, qos=1)
        await self._publish(client, [self._messages.status(online=True)])
        self.connected = True
        log.info("connected to broker %s", self.name)
        self.announce()
        await self._send(client)
        await self._publish(client, [self._messages.status(online=False)])

    async def _send(self, client: MqttClient) -> None:
        loop, give_up_at = asyncio.get_running_loop(), float("inf")
        acknowledged = 0
        while loop.time() < give_up_at:
            self._wake.clear()
            taken_away = list(self._retained)
            rows = await self._event_writer.call(self._event_writer.outbox.next, self.name, acknowledged, WINDOW)
            # A row may be here before `tell` has come: its state must not be later than it.
            self._new |= dict.fromkeys(self._states.push(rows, live=False))
            states = self._take_states()
            now_s = unix_s()
            events = [self._messages.event(row, now_s, row.n <= self._historical) for row in rows]
            await self._publish(client, [*taken_away, *states, *(message for message in events if message)])
            del self._retained[: len(taken_away)]
            if rows:
                acknowledged = rows[-1].n
            elif self._closing.is_set():
                return
            else:
                await self._wake.wait()
            if self._closing.is_set():
                give_up_at = min(give_up_at, loop.time() + DRAIN_S)

    def _take_states(self) -> list[MqttMessage]:
        """Where this connection is lost before they are acknowledged, the next one begins with everybody's."""
        people, self._new = self._new, {}
        taken = []
        for person in people:
            row = self._states.get(person)
            state = self._messages.state(row, unix_s()) if row else None
            if row is None or state is None:
                continue
            if self._home and person not in self._announced:
                self._announced.add(person)
                taken.append(self._home.discovery(row))
            taken.append(state)
        return taken

    async def _publish(self, client: MqttClient, messages: Iterable[MqttMessage]) -> None:
        """Returns when the broker has answered them all."""
        for refusal in await client.send(messages):
            self.refused += 1
            if refusal not in self._told and len(self._told) < MOST_TOLD:
                self._told.add(refusal)
                log.warning("broker %s refuses what is sent to %s: %s", self.name, *refusal)

    async def _read(self, client: aiomqtt.Client) -> None:
        """Raises MqttError as soon as the connection is lost."""
        async for message in client.messages:
            if self._listening.receive is not None:
                await self._listening.receive(client, message)

    def _lost(self, error: BaseException) -> None:
        problem = str(error)
        if self.connected or problem != self.problem:  # said once, not at every try
            log.warning("broker %s is away, events wait: %s", self.name, problem)
        self.problem = problem


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
