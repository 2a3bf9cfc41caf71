"""`/metrics`: the state of the engine for Prometheus. Values are counted where they occur, and collected here.

No label has unbounded values: there are no names of conversations or speakers. docs/operate.md has the list.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version

from prometheus_client import CollectorRegistry, GCCollector, ProcessCollector
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from engine.access.guard import Access
from engine.config import Settings
from engine.ingest.picture_decoder import PictureDecoder
from engine.runtime.durations import Durations
from engine.runtime.load_shedding import LAG_S
from engine.runtime.loop_lag import LoopLag
from engine.server.client_limits import ClientLimits
from engine.server.refusals import Refusals
from engine.server.sinks import EventSinks
from engine.server.supervisor import Supervisor

VERSION = version("cberl-engine")


@dataclass(frozen=True, slots=True, eq=False)
class Measured:
    """The parts of one application that count."""

    settings: Settings
    supervisor: Supervisor
    sinks: EventSinks
    limits: ClientLimits
    refusals: Refusals
    pictures: PictureDecoder
    loop_lag: LoopLag


class EngineCollector(Collector):
    """Reads the parts when Prometheus asks."""

    def __init__(self, measured: Measured) -> None:
        self._it = measured

    def describe(self) -> Iterable[Metric]:
        return ()  # else `collect` is called when it is registered, before the engine runs

    def collect(self) -> Iterator[Metric]:
        yield from self._stages()
        yield from self._conversations()
        yield from self._events()
        yield from self._clients()
        yield from self._event_log()
        yield from self._brokers()
        yield from self._webhooks()
        models = self._it.supervisor.models
        about = {"version": VERSION, "model": models.checkpoint.name, "asr": models.asr}
        build = GaugeMetricFamily("cberl_build_info", "1, with the version and the models as labels.", labels=[*about])
        build.add_metric([*about.values()], 1)
        yield build

    def _stages(self) -> Iterator[Metric]:
        """Models, each behind its worker."""
        workers = {worker.name: worker for worker in self._it.supervisor.models.workers}
        yield _histogram(
            "cberl_stage_seconds",
            "Time from a request to a model until its answer, waiting included.",
            {name: worker.durations for name, worker in workers.items()},
            "stage",
        )
        yield _gauges(
            "cberl_stage_pending", "Requests to a model without an answer.", "stage", _each(workers, "pending")
        )
        yield _counters(
            "cberl_stage_failures", "Requests to a model that ended with an error.", "stage", _each(workers, "failures")
        )
        out_of_memory = _each(workers, "out_of_memory")
        yield _counters("cberl_stage_out_of_memory", "Calls of a model without enough memory.", "stage", out_of_memory)
        hangs = self._it.supervisor.models.hangs
        hung = {name: hangs.total[name] for name in workers}
        yield _counters("cberl_stage_hangs", "Calls of a model that did not return in time.", "stage", hung)
        yield _gauge("cberl_threads_hanging", "Threads held by calls that have not returned.", hangs.now)
        lag = {"": self._it.loop_lag.durations}
        yield _histogram("cberl_event_loop_lag_seconds", "How late the event loop runs what is due.", lag)

    def _conversations(self) -> Iterator[Metric]:
        supervisor = self._it.supervisor
        yield _gauge("cberl_conversations", "Conversations that run.", supervisor.conversations)
        yield _gauge(
            "cberl_conversations_limit", "The most that may run: max_sessions.", self._it.settings.max_sessions
        )
        yield _counter("cberl_conversations_failed", "Conversations that ended with an error.", supervisor.failed)
        yield _gauge("cberl_publishers", "Publishers in all conversations.", supervisor.publishers)
        yield _gauge("cberl_lag_seconds", "How far the slowest conversation is behind live.", supervisor.load.lag_s)
        levels = {str(level): supervisor.load.levels[level] for level in range(len(LAG_S))}
        yield _gauges("cberl_load_level", "Conversations at each level of load shedding; 0: none.", "level", levels)

    def _events(self) -> Iterator[Metric]:
        hub, supervisor = self._it.sinks.hub, self._it.supervisor
        statistics, open_now = hub.statistics, hub.subscriptions
        events = CounterMetricFamily(
            "cberl_events", "Published events, by type and, of emotion events, status.", labels=["type", "status"]
        )
        for labels, count in sorted(statistics.published.items()):
            events.add_metric(labels, count)
        yield events
        missing = CounterMetricFamily(
            "cberl_missing", "Modalities that a fault has left out of final events.", labels=["modality", "reason"]
        )
        for labels, count in sorted(statistics.missing.items()):
            missing.add_metric(labels, count)
        yield missing
        yield _histogram(
            "cberl_after_speech_seconds",
            "Time from the end of a turn's speech until its final event is published.",
            {"": statistics.after_speech},
        )
        dropped = {
            "behind_live": supervisor.dropped_chunks,
            "slow_subscriber": statistics.dropped + sum(it.dropped for it in open_now),
            "not_encoded": hub.not_encoded,
            "picture_timeout": self._it.pictures.killed,
        }
        yield _counters("cberl_dropped", "What was dropped, by reason.", "reason", dropped)
        yield _gauge("cberl_subscriptions", "Subscriptions to events, those of publishers included.", len(open_now))
        ended = {str(reason): count for reason, count in statistics.ended.items()}
        longest = max((it.waiting for it in open_now), default=0)
        yield _gauge("cberl_subscription_queue_length", "Events in the longest queue of a subscription.", longest)
        yield _counters("cberl_subscriptions_ended", "Subscriptions that have ended, by reason.", "reason", ended)

    def _clients(self) -> Iterator[Metric]:
        limits = self._it.limits
        yield _gauge("cberl_connections", "Open connections.", len(limits.connections))
        yield _gauge("cberl_connections_limit", "The most that may be open.", limits.connections.most)
        yield _gauge("cberl_sockets", "Open WebSockets.", len(limits.sockets))
        yield _gauge("cberl_webrtc_peers", "Connected WebRTC peers.", len(limits.peers))
        yield _counters(
            "cberl_refused", "Requests that were refused, by the error's code.", "code", self._it.refusals.by_code
        )

    def _event_log(self) -> Iterator[Metric]:
        writer, shared = self._it.sinks.event_writer, self._it.sinks.shared
        waiting, failures = (writer.waiting, writer.not_kept) if writer else (0, 0)
        yield _gauge("cberl_event_writer_queue_length", "Events that wait for event log or outbox.", waiting)
        yield _counter("cberl_event_log_failures", "Events that could not be written to the log.", failures)
        unsaved = writer.unsaved if writer else 0
        yield _gauge("cberl_event_log_unsaved", "Events in memory that the log does not have yet.", unsaved)
        failures = shared.not_kept if shared else 0
        yield _counter("cberl_conversation_store_failures", "Events that the shared store did not take.", failures)

    def _brokers(self) -> Iterator[Metric]:
        brokers = self._it.sinks.mqtt.status() if self._it.sinks.mqtt else {}
        waiting = {name: status["waiting"] for name, status in brokers.items()}
        connected = {name: status["connected"] for name, status in brokers.items()}
        yield _gauges("cberl_mqtt_outbox_length", "Messages that wait for a broker.", "broker", waiting)
        yield _gauges("cberl_mqtt_connected", "1 while the broker is connected, else 0.", "broker", connected)
        lost = CounterMetricFamily(
            "cberl_mqtt_lost", "Messages that a broker did not get, by reason.", labels=["broker", "reason"]
        )
        for name, status in brokers.items():
            for reason in ("dropped", "refused", "set_aside"):
                lost.add_metric([name, reason], _number(status[reason]))
        yield lost

    def _webhooks(self) -> Iterator[Metric]:
        found = self._it.sinks.webhooks.status() if self._it.sinks.webhooks else {}
        waiting = {name: status["waiting"] for name, status in found.items()}
        failing = {name: status["failing"] for name, status in found.items()}
        received = {name: status["received"] for name, status in found.items()}
        yield _gauges("cberl_webhook_outbox_length", "Messages that wait for a webhook.", "webhook", waiting)
        yield _gauges("cberl_webhook_failing", "1 while the last request to it failed, else 0.", "webhook", failing)
        yield _counters("cberl_webhook_received", "Messages that a webhook has received.", "webhook", received)
        lost = CounterMetricFamily(
            "cberl_webhook_lost", "Messages that a webhook did not get, by reason.", labels=["webhook", "reason"]
        )
        for name, status in found.items():
            for reason in ("dropped", "set_aside"):
                lost.add_metric([name, reason], _number(status[reason]))
        yield lost


def metrics_route(measured: Measured, access: Access) -> Route:
    """`/metrics`, for tokens that allow it."""
    registry = CollectorRegistry()
    registry.register(EngineCollector(measured))
    ProcessCollector(registry=registry)
    GCCollector(registry=registry)

    async def metrics(request: Request) -> Response:
        access.check(request, "metrics")
        encode, content_type = choose_encoder(request.headers.get("accept", ""))
        return Response(encode(registry), headers={"Content-Type": content_type})

    return Route("/metrics", metrics)


def _number(value: object) -> float:
    assert isinstance(value, int | float)
    return float(value)


def _each(parts: Mapping[str, object], attribute: str) -> dict[str, object]:
    return {name: getattr(part, attribute) for name, part in parts.items()}


def _gauge(name: str, text: str, value: object) -> Metric:
    return GaugeMetricFamily(name, text, _number(value))


def _counter(name: str, text: str, value: object) -> Metric:
    return CounterMetricFamily(name, text, _number(value))


def _gauges(name: str, text: str, label: str, values: Mapping[str, object]) -> Metric:
    family = GaugeMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], _number(value))
    return family


def _counters(name: str, text: str, label: str, values: Mapping[str, object]) -> Metric:
    family = CounterMetricFamily(name, text, labels=[label])
    for key, value in values.items():
        family.add_metric([key], _number(value))
    return family


def _histogram(name: str, text: str, values: Mapping[str, Durations], label: str | None = None) -> Metric:
    family = HistogramMetricFamily(name, text, labels=[label] if label else [])
    for key, durations in values.items():
        family.add_metric([key] if label else [], durations.buckets(), durations.total_s)
    return family
