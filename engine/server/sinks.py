"""The sinks of events beside sockets: event log, MQTT brokers, webhooks. Opened before the engine, closed after it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from engine.config import Settings
from engine.delivery.change import change_rule
from engine.delivery.hub import Hub
from engine.mqtt.bridge import MqttBridge, mqtt_feed, open_mqtt_bridge
from engine.mqtt.broker import parse_brokers
from engine.recording.folder import RecordingLimits
from engine.recording.recorder import Recorder, open_recorder
from engine.runtime.clocks import unix_s
from engine.store.outbox_feed import OutboxFeeds
from engine.store.replay import replay_from_log
from engine.store.retention import RetentionConfig, keep_within_limits
from engine.store.shared.redis_store import RedisStoreConfig, open_redis_store
from engine.store.shared.writer import SharedEventWriter, SharedWriterConfig, open_shared_writer
from engine.store.writer import EventWriter, EventWriterConfig, open_event_writer
from engine.webhooks.bridge import Webhooks, open_webhooks, webhook_feed
from engine.webhooks.endpoint import parse_endpoints

DAY_S = 86_400.0
CLAIM_S = 1.0  # beyond the lease of an owner that has died
GIVE_UP_S = 600.0  # in which webhooks set aside what is too old
RESTART_S = 60.0  # to load the models, which publishers wait for, too


@dataclass(frozen=True, slots=True, eq=False)
class EventSinks:
    """The engine publishes to `hub`. The others are None where the settings do not ask for them."""

    hub: Hub
    event_writer: EventWriter | None = None
    mqtt: MqttBridge | None = None
    shared: SharedEventWriter | None = None
    recorder: Recorder | None = None
    webhooks: Webhooks | None = None

    def replay(self, conversation: str, after_seq: int) -> AsyncIterator[tuple[int, list[str]]]:
        """Older events from the event log. See `store.replay`."""
        # With a shared store, the log lacks what other engines have published.
        event_writer = None if self.shared else self.event_writer
        return replay_from_log(self.hub, event_writer, conversation, after_seq)

    async def forget(self, conversation: str) -> int:
        """Delete an ended conversation from every sink. Returns how many events the log had.

        Its recordings are deleted, too. Raises sqlite3.Error, ConversationStoreError or OSError.
        """
        await self.hub.flush()
        self.hub.forget(conversation)
        if self.recorder:
            await self.recorder.forget(conversation)
        if self.shared:
            await self.shared.forget(conversation)
        if self.event_writer is None:
            return 0
        speakers = await self.event_writer.call(self.event_writer.log.speakers, conversation)
        deleted = await self.event_writer.forget(conversation)
        if self.mqtt:
            self.mqtt.forget(conversation, speakers)
        if self.webhooks:
            self.webhooks.forget(conversation)
        return deleted

    def status(self) -> dict[str, object]:
        """For `/readyz`."""
        status: dict[str, object] = {"events_not_encoded": self.hub.not_encoded}
        if self.event_writer and self.event_writer.keeps_events:
            status["event_log"] = self.event_writer.status
        if self.shared:
            status["conversation_store"] = {"not_kept": self.shared.not_kept}
        if self.mqtt:
            status["brokers"] = self.mqtt.status()
        if self.webhooks:
            status["webhooks"] = self.webhooks.status()
        return status


@asynccontextmanager
async def open_event_sinks(settings: Settings) -> AsyncIterator[EventSinks]:
    """Raises StoreError where the event log cannot be opened, BrokerError or WebhookError where their settings
    are wrong, ConversationStoreError where the shared store does not answer, RecordingError where nothing can be
    recorded.
    """
    run = f"{round(unix_s() * 1e3):x}"
    async with AsyncExitStack() as stack:
        event_writer, mqtt, shared, webhooks = None, None, None, None
        to_brokers = mqtt_feed(settings) if settings.mqtt else None
        to_webhooks = webhook_feed(settings) if settings.webhook else None
        feeds = [it for it in (to_brokers, to_webhooks) if it]
        if settings.event_log or feeds:
            opened = open_event_writer(_event_writer_config(settings), OutboxFeeds(feeds))
            event_writer = await stack.enter_async_context(opened)
            await stack.enter_async_context(_retention(event_writer, settings))
        if event_writer and to_brokers:
            mqtt = await stack.enter_async_context(open_mqtt_bridge(settings, event_writer, to_brokers))
        if event_writer and to_webhooks:
            webhooks = await stack.enter_async_context(open_webhooks(settings, event_writer, to_webhooks))
        if settings.conversation_store:
            shared = await stack.enter_async_context(_shared(settings, event_writer))
        hub = Hub(
            settings.replay_events,
            settings.subscriber_queue,
            run=run,
            event_writer=shared or event_writer,
            with_text=settings.socket_text,
            change=change_rule(settings),
        )
        recorder = await stack.enter_async_context(_recorder(settings)) if settings.record else None
        yield EventSinks(hub, event_writer, mqtt, shared, recorder, webhooks)


def _event_writer_config(settings: Settings) -> EventWriterConfig:
    return EventWriterConfig(
        path=settings.event_log,
        keep_text=settings.keep_text,
        brokers=tuple(broker.name for broker in parse_brokers(settings.mqtt)),
        webhooks=tuple(endpoint.name for endpoint in parse_endpoints(settings.webhook)),
        outbox_rows=settings.mqtt_outbox_events,
        grace_s=settings.rejoin_grace_s + RESTART_S,
    )


def _recorder(settings: Settings) -> AbstractAsyncContextManager[Recorder]:
    limits = RecordingLimits(settings.record_mb << 20, settings.record_days * DAY_S)
    return open_recorder(Path(settings.record), limits)


@asynccontextmanager
async def _shared(settings: Settings, inner: EventWriter | None) -> AsyncIterator[SharedEventWriter]:
    grace_s = settings.rejoin_grace_s + RESTART_S
    stored = RedisStoreConfig(settings.conversation_store, settings.store_lease_s, grace_s, settings.replay_events)
    config = SharedWriterConfig(settings.store_lease_s, settings.store_lease_s + CLAIM_S, settings.keep_text)
    async with open_redis_store(stored) as store, open_shared_writer(store, config, inner) as writer:
        yield writer


@asynccontextmanager
async def _retention(event_writer: EventWriter, settings: Settings) -> AsyncIterator[None]:
    config = RetentionConfig(
        max_age_s=settings.event_log_days * DAY_S,
        max_bytes=settings.event_log_mb << 20,
        outbox_age_s=max(settings.mqtt_expiry_s, settings.webhook_give_up_s + GIVE_UP_S if settings.webhook else 0.0),
        state_age_s=settings.rejoin_grace_s + RESTART_S,
    )
    async with asyncio.TaskGroup() as tasks:
        retention = tasks.create_task(keep_within_limits(event_writer, config), name="retention")
        try:
            yield
        finally:
            retention.cancel()
