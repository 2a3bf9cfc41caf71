"""The task of one broker: connect, send what waits and what is new, reconnect when the connection is lost.

    outbox (disk) ─ rows ───┐
    unsent (memory) ─ new ──┴─► messages ─ QoS 1, in order, a window at a time ─► acknowledged ─► outbox

A row leaves the outbox when the broker has acknowledged it and the state sent with it. So after a lost connection some
rows are sent twice, with the same id, and none is lost. Rows that waited when the connection was made are historical.
A message for which the broker closes the connection is set aside (see `suspects`), counted, logged and kept in the
database. A message that the broker refuses, for example by an access list, is counted and logged. It is not sent again:
it would be refused again.
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

from engine.mqtt.client import MqttClient, Refusal
from engine.mqtt.home_assistant import HomeAssistant
from engine.mqtt.states import MAX_PEOPLE, States, Unsent
from engine.mqtt.suspects import Suspects
from engine.mqtt.topics import Messages, MqttMessage
from engine.runtime.backoff import Backoff
from engine.runtime.clocks import unix_s
from engine.store.writer import EventWriter

WINDOW = 400  # rows sent before their acknowledgements are awaited
MAX_LOGGED_REFUSALS = 1000  # that differ in topic or reason
DRAIN_S = 3.0  # for what waits when the engine ends
STABLE_S = 5.0  # a connection that lasts this long was good: the next wait is short again

log = logging.getLogger(__name__)
MakeClient = Callable[[aiomqtt.Will | None], MqttClient]
Receive = Callable[[aiomqtt.Client, aiomqtt.Message], Awaitable[None]]


@dataclass(frozen=True, slots=True, eq=False)
class Incoming:
    """Topics to subscribe to, and the handler of their messages."""

    topics: tuple[str, ...] = ()
    receive: Receive | None = None


class MqttPublisher:
    """`run` it as a task, add to `unsent` what is new, `close` it."""

    def __init__(
        self,
        name: str,
        make_client: MakeClient,
        event_writer: EventWriter,
        states: States,
        unsent: Unsent,
        messages: Messages,
        home: HomeAssistant | None = None,
        incoming: Incoming | None = None,
    ) -> None:
        self.name = name
        self._connected = False
        self._refused = 0  # messages
        self._problem = "not connected yet"
        self._make_client = make_client
        self._event_writer = event_writer
        self._states = states
        self._unsent = unsent
        self._messages = messages
        self._home = home
        self._incoming = incoming or Incoming()
        self._backoff = Backoff(name)
        self._suspects = Suspects()
        self._attempts = 0  # since the connection was lost
        self._discovered: set[tuple[str, str]] = set()  # speakers sent to Home Assistant on this connection
        self._closing = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._logged_refusals: set[Refusal] = set()

    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        status: dict[str, object] = {
            "connected": self._connected,
            "refused": self._refused,
            "set_aside": self._suspects.set_aside,
        }
        return status if self._connected else status | {"problem": self._problem}

    def announce(self) -> None:
        """Send the state of every speaker, and their discovery: Home Assistant has started."""
        self._discovered.clear()
        self._unsent.add(self._states.people())

    async def run(self) -> None:
        """Until `close`, whatever happens to the broker."""
        self._task = asyncio.current_task()
        while not self._closing.is_set():
            try:
                await self._connect()
            except* (aiomqtt.MqttError, sqlite3.Error, OSError) as errors:
                self._lost(_first(errors))
            finally:
                self._connected = False
            if not self._closing.is_set():
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._closing.wait(), self._backoff.next_s())

    async def close(self) -> None:
        """Send what waits for at most DRAIN_S, publish the status offline, disconnect."""
        self._closing.set()
        self._unsent.changed.set()
        if self._task is not None:
            await asyncio.wait([self._task], timeout=DRAIN_S + 1.0)
            self._task.cancel()

    async def _connect(self) -> None:
        offline = self._messages.status(online=False)
        properties = Properties(PacketTypes.WILLMESSAGE)
        properties.PayloadFormatIndicator = 1  # UTF-8
        properties.ContentType = offline.content_type
        will = aiomqtt.Will(offline.topic, offline.payload, qos=1, retain=True, properties=properties)
        self._attempts += 1
        async with self._make_client(will) as client:
            if aside := self._suspects.connected(at_once=self._attempts == 1):
                log.error("broker %s closed the connection for what was sent to %s: set aside", self.name, aside[0])
            self._attempts = 0
            stable = asyncio.get_running_loop().call_later(STABLE_S, self._backoff.reset)
            try:
                async with asyncio.TaskGroup() as tasks:
                    reader = tasks.create_task(self._read(client), name=f"mqtt reader {self.name}")
                    await self._serve(client)
                    reader.cancel()
            finally:
                stable.cancel()
                self._suspects.lost(client.unanswered)

    async def _serve(self, client: MqttClient) -> None:
        """From the first message of a connection to the last."""
        self._historical = self._event_writer.outbox.newest
        for topic in self._incoming.topics:
            await client.subscribe(topic, qos=1)
        await self._publish(client, [self._messages.status(online=True)])
        self._connected = True
        log.info("connected to broker %s", self.name)
        self.announce()
        await self._send(client)
        await self._publish(client, [self._messages.status(online=False)])

    async def _send(self, client: MqttClient) -> None:
        """Until `close`, and then until everything is sent or DRAIN_S have passed."""
        loop, give_up_at = asyncio.get_running_loop(), float("inf")
        acknowledged, outbox = 0, self._event_writer.outbox
        while loop.time() < give_up_at:
            self._unsent.changed.clear()
            removals = list(self._unsent.removals)
            rows = await self._event_writer.call(outbox.next, self.name, acknowledged, WINDOW)
            # Rows may be here before the feed has reported them: their state must not be sent later than they are.
            self._unsent.people |= dict.fromkeys(self._states.push(rows, live=False))
            states = self._take_states()
            now_s = unix_s()
            events = [self._messages.event(row, now_s, row.n <= self._historical) for row in rows]
            await self._publish(client, [*removals, *states, *(message for message in events if message)])
            aside = [row for row, it in zip(rows, events, strict=True) if it and self._suspects.is_set_aside(it)]
            if aside:
                await self._event_writer.call(outbox.set_aside, self.name, aside)
            del self._unsent.removals[: len(removals)]
            if rows:
                acknowledged = rows[-1].n
            elif self._closing.is_set():
                return
            else:
                await self._unsent.changed.wait()
            if self._closing.is_set():
                give_up_at = min(give_up_at, loop.time() + DRAIN_S)

    def _take_states(self) -> list[MqttMessage]:
        """States that are new. If the connection is lost before they are acknowledged, the next one sends them all."""
        people, self._unsent.people = self._unsent.people, {}
        taken = []
        for person in people:
            row = self._states.get(person)
            state = self._messages.state(row, unix_s()) if row else None
            if row is None or state is None:
                continue
            if self._home and person not in self._discovered:
                if len(self._discovered) >= MAX_PEOPLE:
                    self._discovered.clear()
                self._discovered.add(person)
                taken.append(self._home.discovery(row))
            taken.append(state)
        return taken

    async def _publish(self, client: MqttClient, messages: Iterable[MqttMessage]) -> None:
        """Returns when the broker has answered them all."""
        for batch in self._suspects.batches(messages):
            for refusal in await client.send(batch):
                self._refused += 1
                if refusal not in self._logged_refusals and len(self._logged_refusals) < MAX_LOGGED_REFUSALS:
                    self._logged_refusals.add(refusal)
                    log.warning("broker %s refuses what is sent to %s: %s", self.name, *refusal)

    async def _read(self, client: aiomqtt.Client) -> None:
        """Raises MqttError as soon as the connection is lost."""
        async for message in client.messages:
            if self._incoming.receive is not None:
                await self._incoming.receive(client, message)

    def _lost(self, error: BaseException) -> None:
        problem = str(error)
        if self._connected or problem != self._problem:  # logged once, not at every attempt
            log.warning("no connection to broker %s, events wait in the outbox: %s", self.name, problem)
        self._problem = problem


def _first(error: BaseException) -> BaseException:
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return error
