"""Webhooks of a real event writer to a real HTTP server, verified by the library of Standard Webhooks."""

import asyncio
import json
import logging
import re
import sqlite3
from collections import Counter
from pathlib import Path
from urllib.parse import unquote

import pytest
from jsonschema import Draft202012Validator
from standardwebhooks import Webhook
from starlette.responses import Response

from engine.config import Settings
from engine.delivery.change import ChangeDetector
from engine.delivery.wire import EncodedEvent
from engine.events import ChangeRule
from engine.server.contract import asyncapi
from engine.server.sinks import open_event_sinks
from engine.webhooks import sender
from engine.webhooks.feed import WebhookFeed, message
from testing.events import emotion
from testing.mosquitto import mosquitto, needs_mosquitto, until_all, watching
from testing.webhook_receiver import Receiver

NAMES = ("final", "change", "final", "ended")
ROOT = Path(__file__).parents[3]
SECRET, NEXT_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_" + "B" * 44
CLOSED_PORT = "http://127.0.0.1:1/hook"


@pytest.fixture(autouse=True)
def short_waits(monkeypatch):
    monkeypatch.setattr(sender, "FIRST_WAIT_S", 0.02)
    monkeypatch.setattr(sender, "LONGEST_WAIT_S", 0.05)
    monkeypatch.setattr(sender, "DRAIN_S", 0.5)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def settings(*ports, **more):
    urls = ",".join(f"http://127.0.0.1:{port}/hook" for port in ports)
    given = {"webhook": urls, "webhook_secret": SECRET, "webhook_text": True}
    return Settings(**(given | more))


def data(posts):
    return [json.loads(post.body)["data"] for post in posts]


def kinds(posts):
    return Counter(json.loads(post.body)["type"] for post in posts)


async def until_status(sinks, holds):
    """Return when `holds(status)` is true for every webhook."""
    while True:
        if all(holds(it) for it in sinks.webhooks.status().values()):
            return
        await asyncio.sleep(0.01)


def test_messages_are_signed_and_have_final_events_changes_and_the_end():
    async def main():
        receiver = Receiver()
        async with receiver.running() as port, open_event_sinks(settings(port)) as sinks:
            hub = sinks.hub
            hub.publish(emotion(1, "Zoë", conversation="Küche 1"))
            hub.publish(emotion(2, "Zoë", conversation="Küche 1", status="interim"))
            hub.publish(emotion(1, "Zoë", conversation="Küche 1", status="corrected", revision=1))
            hub.close("Küche 1")
            await receiver.until(lambda it: len(it.received) == 4)
            await until_status(sinks, lambda it: it["received"] == 4 and it["waiting"] == 0)
        types = [json.loads(post.body)["type"] for post in receiver.received]
        assert types == ["emotion.final", "emotion.change", "emotion.final", "conversation.ended"]
        final, change, corrected, ended = data(receiver.received)
        assert change == final | {"previous": "neutral"}
        assert (final["text"], corrected["status"], ended["conversation"]) == ("words 1", "corrected", "Küche 1")
        contract = asyncapi()
        for name, post in zip(NAMES, receiver.received, strict=True):
            schema = {"$ref": f"#/components/schemas/webhook.{name}", "components": contract["components"]}
            Draft202012Validator(schema).validate(json.loads(post.body))
            assert Webhook(SECRET).verify(post.body, post.headers) == json.loads(post.body)
        ids = [unquote(post.headers["webhook-id"]) for post in receiver.received]
        assert ids == [final["id"], f"{final['id']}/change", corrected["id"], ended["id"]]

    asyncio.run(main())


def test_words_and_kinds_follow_the_settings_and_two_secrets_both_sign():
    async def main():
        receiver = Receiver()
        more = {"webhook_text": False, "webhook_events": "change", "webhook_secret": f"{SECRET} {NEXT_SECRET}"}
        async with receiver.running() as port, open_event_sinks(settings(port, **more)) as sinks:
            for number in (1, 2):
                sinks.hub.publish(emotion(number))
            sinks.hub.close("demo")
            await receiver.until(lambda it: len(it.received) == 1)
            await until_status(sinks, lambda it: it["waiting"] == 0)
        assert kinds(receiver.received) == {"emotion.change": 1}
        assert data(receiver.received)[0]["text"] is None
        for secret in (SECRET, NEXT_SECRET):
            Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers)

    asyncio.run(main())


def test_what_fails_is_sent_again_in_the_order_of_its_conversation():
    async def main():
        failures = iter([503, 429, 408, 500])
        receiver = Receiver(answer=lambda post: next(failures, 200))
        async with receiver.running() as port, open_event_sinks(settings(port, webhook_events="final")) as sinks:
            for number in range(1, 21):
                sinks.hub.publish(emotion(number, conversation=f"room {number % 2}"))
            await receiver.until(lambda it: len(it.received) == 20)
        for room in (0, 1):
            starts = [it["start_s"] for it in data(receiver.received) if it["conversation"] == f"room {room}"]
            assert starts == sorted(starts)
        assert len(receiver.posts) == 24
        assert len({post.headers["webhook-id"] for post in receiver.posts}) == 20

    asyncio.run(main())


def test_what_is_refused_is_set_aside_at_once_and_what_never_succeeds_later(tmp_path, caplog):
    def answer(post):
        start_s = json.loads(post.body)["data"]["start_s"]
        if start_s == 2.0:
            return 404
        if start_s == 4.0:
            return Response(status_code=302, headers={"location": "http://127.0.0.1:1/elsewhere"})
        return 500 if start_s == 6.0 else 200

    async def main():
        receiver, path = Receiver(answer=answer), str(tmp_path / "log")
        more = {"webhook_events": "final", "event_log": path}
        async with receiver.running() as port, open_event_sinks(settings(port, **more)) as sinks:
            for number in range(1, 5):
                sinks.hub.publish(emotion(number, conversation="bad"))
            count = 0
            while next(iter(sinks.webhooks.status().values()))["set_aside"] < 3:  # others are received meanwhile
                count += 1
                sinks.hub.publish(emotion(10 + count, conversation="good"))
                await receiver.until(
                    lambda it, n=count: sum(d["conversation"] == "good" for d in data(it.received)) == n
                )
                await asyncio.sleep(0.02)
            await receiver.until(lambda it: any(d["conversation"] == "bad" for d in data(it.received)))
        tried = Counter(d["start_s"] for d in data(receiver.posts) if d["conversation"] == "bad")
        assert tried.pop(6.0) >= sender.OWN_FAILURES
        assert tried == {2.0: 1, 4.0: 1, 8.0: 1}
        with sqlite3.connect(path) as database:
            kept = database.execute("SELECT json FROM dead_letter ORDER BY n").fetchall()
        database.close()
        assert [json.loads(text)["start_s"] for (text,) in kept] == [2.0, 4.0, 6.0]
        assert "was set aside: the answer is 404 Not Found" in caplog.text

    asyncio.run(main())


def test_a_message_that_has_become_too_old_is_set_aside():
    async def main():
        receiver = Receiver(answer=lambda post: 503)
        async with receiver.running() as port, open_event_sinks(settings(port, webhook_give_up_s=1)) as sinks:
            sinks.hub.publish(emotion(1, emotion="neutral"))
            await until_status(sinks, lambda it: it["set_aside"] == 1)
            (status,) = sinks.webhooks.status().values()
            assert (status["failing"], status["received"]) == (True, 0)
            assert status["problem"] == "the answer is 503 Service Unavailable"

    asyncio.run(main())


def test_with_an_event_log_nothing_is_lost_while_receiver_and_engine_are_restarted(tmp_path):
    async def main():
        receiver, path = Receiver(), str(tmp_path / "log")
        async with receiver.running() as port:
            given = settings(port, webhook_events="final", event_log=path)
            async with open_event_sinks(given) as sinks:
                sinks.hub.publish(emotion(1))
                await receiver.until(lambda it: len(it.received) == 1)
        async with open_event_sinks(given) as sinks:
            for number in range(2, 30):
                sinks.hub.publish(emotion(number))
            await until_status(sinks, lambda it: it["failing"])
        async with open_event_sinks(given) as sinks, receiver.running(port):
            await receiver.until(lambda it: len(it.received) == 29)
            await until_status(sinks, lambda it: (it["failing"], it["waiting"]) == (False, 0))
        assert [it["start_s"] for it in data(receiver.received)] == [2.0 * number for number in range(1, 30)]

    asyncio.run(main())


@needs_mosquitto
def test_a_webhook_that_fails_does_not_delay_another_nor_a_broker(tmp_path, caplog):
    async def main():
        receiver = Receiver()
        async with (
            mosquitto(tmp_path) as broker,
            watching(broker, "cberl/+/utterance") as seen,
            receiver.running() as port,
        ):
            given = settings(port, webhook_events="final", mqtt=broker.url)
            given = given.model_copy(update={"webhook": f"{CLOSED_PORT},{given.webhook}"})
            async with open_event_sinks(given) as sinks:
                await until_all(sinks, lambda it: it["connected"])
                for number in range(1, 600):
                    sinks.hub.publish(emotion(number))
                await receiver.until(lambda it: len(it.received) == 599)
                await seen.until(lambda it: len(it.messages) == 599)
                bad, good = sinks.webhooks.status().values()
                assert (bad["failing"], good["failing"]) == (True, False)
                assert bad["waiting"] >= 599
                await until_all(sinks, lambda it: it["waiting"] == 0)
            assert "/hook" not in caplog.text  # the rest of an address is often a secret

    with caplog.at_level(logging.INFO, "engine"):
        asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"", "without sending a response"),
        (b"what?\r\n\r\n", "illegal status line"),
        (b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", "peer closed connection"),
        (b"HTTP/1.1 503 No\r\ncontent-length: 900000000\r\n\r\n" + b"x" * 200_000, "the answer is 503 No"),
        (None, "no answer within 0.3 s"),
    ],
)
def test_whatever_a_receiver_answers_the_message_waits(answer, problem, monkeypatch):
    monkeypatch.setattr(sender, "TIMEOUT_S", 0.3)

    async def receive(reader, writer):
        await reader.readuntil(b"}}")
        if answer is None:
            await reader.read()
        else:
            writer.write(answer)
        writer.close()

    async def main():
        async with await asyncio.start_server(receive, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            async with open_event_sinks(settings(port)) as sinks:
                sinks.hub.publish(emotion(1, emotion="neutral"))
                await until_status(sinks, lambda it: it["failing"])
                (status,) = sinks.webhooks.status().values()
                assert problem.lower() in status["problem"].lower()
                assert (status["set_aside"], status["waiting"]) == (0, 1)

    asyncio.run(main())


def test_a_deleted_conversation_is_not_sent_any_more():
    async def main():
        receiver = Receiver(answer=lambda post: 503)
        async with receiver.running() as port, open_event_sinks(settings(port, webhook_events="final")) as sinks:
            for number in (1, 2):
                sinks.hub.publish(emotion(number))
            sinks.hub.publish(emotion(3, conversation="other"))
            await until_status(sinks, lambda it: it["failing"])
            sinks.hub.close("demo")
            await sinks.forget("demo")
            receiver.answer = lambda post: 200
            await receiver.until(lambda it: len(it.received) >= 1 and data(it.received)[-1]["conversation"] == "other")
            await until_status(sinks, lambda it: it["waiting"] == 0)
        assert 4.0 not in [it["start_s"] for it in data(receiver.posts)]

    asyncio.run(main())


def test_the_document_shows_a_message_as_it_is_sent():
    page = (ROOT / "docs" / "webhooks.md").read_text(encoding="utf-8")
    (sample,) = re.findall(r"```json\n(.*?)```", page, re.DOTALL)
    row = WebhookFeed(ChangeDetector(ChangeRule()), frozenset({"change"}), with_text=True)
    (change,) = row.rows(EncodedEvent(emotion(1), 1, "0"), 0.0)
    shown, sent = json.loads(sample), json.loads(message(change))
    assert shown.keys() == sent.keys()
    assert shown["data"].keys() - {"…"} <= sent["data"].keys()


def test_a_receiver_says_when_to_try_again():
    async def main():
        answers = iter([Response(status_code=429, headers={"retry-after": "1"}), 200])
        receiver = Receiver(answer=lambda post: next(answers))
        async with receiver.running() as port, open_event_sinks(settings(port, webhook_events="ended")) as sinks:
            sinks.hub.publish(emotion(1))
            sinks.hub.close("demo")
            await receiver.until(lambda it: len(it.received) == 1)
        first, second = (int(post.headers["webhook-timestamp"]) for post in receiver.posts)
        assert second - first >= 1

    asyncio.run(main())
