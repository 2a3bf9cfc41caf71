"""One server as an operator runs it, after one conversation: what it measures, and what it logs."""

import asyncio
import json
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse

from testing.command import MAIN
from testing.live_engine import FIRST, SCRIPT, Message, publish, stretch
from testing.serving import Served, served

NO_BROKER = "mqtt://127.0.0.1:1"
CONVERSATION = "confidential"

# The media of one conversation cannot be processed.
BROKEN = """
from engine.conversation.session import Session

async def join(self, *args, **options):
    if self.conversation == "broken":
        raise RuntimeError("broken on purpose,\\nin two lines")
    await original(self, *args, **options)

original, Session.join = Session.join, join
"""

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """With an event log, a broker that is not there, and log lines as JSON."""
    folder = tmp_path_factory.mktemp("operated")
    flags = ("--event-log", str(folder / "log"), "--mqtt", NO_BROKER, "--rejoin-grace-s", "0", "--log-format", "json")
    with served(folder, *flags, before=BROKEN) as server:
        yield server


@pytest.fixture(scope="module")
def messages(server: Served) -> list[Message]:
    """Those of the publisher of one conversation."""
    return asyncio.run(publish(server.url, CONVERSATION, stretch(*FIRST)))


def scrape(server: Served) -> str:
    return httpx.get(f"{server.url}/metrics", trust_env=False).raise_for_status().text


def samples(text: str) -> Samples:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse(text)
        for sample in family.samples
    }


def test_metrics_count_what_a_publisher_received(server: Served, messages: list[Message]) -> None:
    found = samples(scrape(server))
    received = Counter((it["type"], it.get("status", "")) for it in messages if "seq" in it)
    assert received["emotion", "final"] == 5
    for (kind, status), count in received.items():
        assert found["cberl_events_total", (("status", status), ("type", kind))] == count, kind
    after_speech = [it["timings_ms"]["after_speech"] / 1e3 for it in messages if it["type"] == "emotion"]
    assert found["cberl_after_speech_seconds_count", ()] == 5
    assert found["cberl_after_speech_seconds_sum", ()] == pytest.approx(sum(after_speech), abs=1e-3)
    within_1_s = sum(it <= 1.0 for it in after_speech)
    assert found["cberl_after_speech_seconds_bucket", (("le", "1.0"),)] == within_1_s
    for stage in ("transcribe", "text", "audio", "graph"):
        assert found["cberl_stage_seconds_count", (("stage", stage),)] >= 5
        assert found["cberl_stage_pending", (("stage", stage),)] == 0
    assert found["cberl_stage_seconds_count", (("stage", "vad"),)] > 5
    assert found["cberl_stage_seconds_count", (("stage", "visual"),)] == 0
    assert found["cberl_event_loop_lag_seconds_count", ()] > 0
    assert found["cberl_mqtt_outbox_length", (("broker", "127.0.0.1:1"),)] >= 5
    assert found["cberl_mqtt_connected", (("broker", "127.0.0.1:1"),)] == 0
    assert found["cberl_dropped_total", (("reason", "behind_live"),)] == 0
    assert found["cberl_event_log_failures_total", ()] == 0
    assert 0 < found["process_open_fds", ()] < found["process_max_fds", ()]
    assert found["process_resident_memory_bytes", ()] > 1 << 28


def test_no_metric_names_a_conversation_or_a_speaker(server: Served, messages: list[Message]) -> None:
    text = scrape(server)
    assert not [name for name in (CONVERSATION, *SCRIPT.speakers) if name in text]
    values = Counter(name for name, _ in samples(text))
    assert max(values.values()) < 150  # buckets by stage


def test_metrics_follow_the_formats_of_prometheus_and_openmetrics(server: Served) -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = httpx.get(f"{server.url}/metrics", headers=accept, trust_env=False)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    strict = {family.name: family for family in parse_openmetrics(answer.text)}
    units = ("_seconds", "_bytes")
    for name, family in strict.items():
        if name.startswith("cberl_"):
            assert family.documentation.endswith("."), name
            assert family.type != "histogram" or name.endswith(units), name
    assert {name for name, it in strict.items() if it.type == "counter"} >= {"cberl_events", "cberl_dropped"}


def test_every_line_of_the_log_is_an_object(server: Served, messages: list[Message]) -> None:
    """Those of uvicorn, of the command itself, and of an exception, too."""
    asyncio.run(publish(server.url, "broken", stretch(0.0, 1.0)))
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as client:
        client.sendall(b"not HTTP\r\n\r\n")
        assert client.recv(100).startswith(b"HTTP/1.1 400")
    lines = [json.loads(line) for line in server.log.read_text().splitlines()]
    assert all({"time", "level", "logger", "message"} <= line.keys() for line in lines)
    loggers = {line["logger"] for line in lines}
    assert {"engine.cli", "uvicorn.error", "engine.mqtt.publisher"} <= loggers
    (failed,) = [line for line in lines if "exception" in line]
    assert failed["level"] == "error"
    assert failed["exception"].endswith("RuntimeError: broken on purpose,\nin two lines")
    assert any(line["message"].startswith("whoever reaches it") and line["level"] == "warning" for line in lines)


def test_an_error_that_ends_the_command_is_a_line_of_the_log() -> None:
    command = [sys.executable, "-c", MAIN, "serve", "--event-log", "/nowhere/log", "--log-format", "json"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    lines = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [line["level"] for line in lines] == ["info", "error"]
    assert "/nowhere/log" in lines[-1]["message"]
