import asyncio
import csv
import io
import json
import sqlite3
import threading
import time
from contextlib import closing

import httpx
import pytest

from engine.export.formats import FORMATS
from testing.counting import running
from testing.events import emotion


def client(url):
    return httpx.AsyncClient(base_url=url, trust_env=False)


def test_history_is_read_page_by_page_and_outlives_the_engine(tmp_path):
    async def first():
        async with running(event_log=str(tmp_path / "log"), keep_text=True) as (engine, url), client(url) as http:
            for number in range(1, 5):
                engine.hub.publish(emotion(number, conversation="room 1"))
            await engine.hub.flush()
            page = (await http.get("/conversations/room%201/events", params={"limit": 3})).json()
            assert ([event["seq"] for event in page["events"]], page["last_seq"]) == ([1, 2, 3], 3)
            rest = (await http.get("/conversations/room%201/events", params={"after_seq": 3})).json()
            assert [event["text"] for event in rest["events"]] == ["words 3", "words 4"]
            none = (await http.get("/conversations/room%201/events", params={"after_seq": 5})).json()
            assert none == {"events": [], "last_seq": 5}
            for query in ("after_seq=-1", "after_seq=x", "limit=0", "limit=1001"):
                assert (await http.get(f"/conversations/room%201/events?{query}")).json()["code"] == "bad_request"
            assert (await http.delete("/conversations/room%201")).status_code == 409
            assert (await http.get("/readyz")).json()["event_log"] == {"not_kept": 0, "unsaved": 0}

    async def second():
        async with running(event_log=str(tmp_path / "log")) as (engine, url), client(url) as http:
            (listed,) = (await http.get("/conversations")).json()["conversations"]
            assert time.time() - 3600 < listed.pop("ended_at_s") <= time.time()
            assert listed == {
                "id": "room 1", "speakers": ["alice"], "active": False, "last_seq": 5,
                "length_s": 9.0, "emotion": "joy",
            }  # fmt: skip
            engine.hub.publish(emotion(5, conversation="room 1"))
            engine.hub.close("room 1")
            assert (await http.delete("/conversations/room%201")).json() == {"deleted_events": 8}
            assert (await http.get("/conversations")).json() == {"conversations": []}
            for method, path in (("GET", "/conversations/room%201/events"), ("DELETE", "/conversations/room%201")):
                answer = await http.request(method, path)
                assert (answer.status_code, answer.json()["code"]) == (404, "unknown_conversation")
            assert engine.hub.publish(emotion(1, conversation="room 1")) == 10

    asyncio.run(first())
    asyncio.run(second())


@pytest.mark.parametrize("keep_text", [True, False])
def test_a_conversation_is_exported_in_every_format_with_words_only_where_they_were_kept(tmp_path, keep_text):
    name, path = 'Zoë: "live".', "/conversations/Zo%C3%AB%3A%20%22live%22./export"

    async def main():
        async with running(event_log=str(tmp_path / "log"), keep_text=keep_text) as (engine, url), client(url) as http:
            for number in range(1, 1203):  # more than one page
                engine.hub.publish(emotion(number, conversation=name))
            await engine.hub.flush()
            for form in FORMATS.values():
                answer = await http.get(path, params={"format": form.name})
                assert answer.status_code == 200
                assert answer.headers["Content-Type"].partition(";")[0] == form.media_type
                file = f"Zo%C3%AB_%20_live_{form.suffixes[0]}"
                plain = f"Zo__ _live_{form.suffixes[0]}"
                assert answer.headers["Content-Disposition"] == (
                    f"attachment; filename=\"{plain}\"; filename*=UTF-8''{file}"
                )
                assert answer.text.count("joy") >= 1202
                assert ("words 1202" in answer.text) == keep_text
            for query in ("", "?format=", "?format=VTT", "?format=pdf"):
                answer = await http.get(f"{path}{query}")
                assert (answer.status_code, answer.json()["code"]) == (400, "bad_request")
            answer = await http.get("/conversations/other/export?format=vtt")
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_conversation")

    asyncio.run(main())


def test_without_a_log_live_and_ended_conversations_are_exported_from_what_is_kept_for_replay():
    async def main():
        async with running(replay_events=4) as (engine, url), client(url) as http:
            engine.hub.publish(emotion(1))
            whole = await http.get("/conversations/demo/export?format=vtt")
            assert (whole.text.count("<v.joy alice>"), whole.headers["CBERL-Complete"]) == (1, "true")
            for number in range(2, 6):
                engine.hub.publish(emotion(number))
            engine.hub.close("demo")
            rest = await http.get("/conversations/demo/export?format=srt")
            assert "words 2" not in rest.text
            assert rest.text.count("alice [joy]: words") == 3
            assert rest.headers["CBERL-Complete"] == "false"
            answer = await http.get("/conversations/other/export?format=vtt")
            assert (answer.status_code, answer.json()["code"]) == (404, "unknown_conversation")

    asyncio.run(main())


@pytest.mark.parametrize("log", [True, False])
def test_a_conversation_that_ran_twice_is_exported_session_by_session(tmp_path, log):
    async def main():
        async with running(event_log=str(tmp_path / "log") if log else "") as (engine, url), client(url) as http:
            for emotion_of_session in ("anger", "joy"):
                engine.hub.publish(emotion(1, emotion=emotion_of_session))
                engine.hub.close("demo")
            engine.hub.open("demo")  # and nobody has spoken yet
            await engine.hub.flush()
            for asked, emotions in (
                ("", ["joy"]),
                ("&session=latest", ["joy"]),
                ("&session=1", ["anger"]),
                ("&session=all", ["anger", "joy"]),
            ):
                answer = await http.get(f"/conversations/demo/export?format=jsonl{asked}")
                assert [json.loads(line)["emotion"] for line in answer.text.splitlines()] == emotions, asked
                assert (answer.headers["CBERL-Sessions"], answer.headers["CBERL-Complete"]) == ("2", "true")
            table = (await http.get("/conversations/demo/export?format=csv&session=all")).text
            assert [row["session"] for row in csv.DictReader(io.StringIO(table))] == ["1", "2"]
            for query, status in (("csv&session=3", 404), ("csv&session=x", 404), ("srt&session=all", 400)):
                assert (await http.get(f"/conversations/demo/export?format={query}")).status_code == status

    asyncio.run(main())


def test_a_stored_event_that_is_damaged_is_one_sentence(tmp_path):
    async def main(request):
        async with running(event_log=str(tmp_path / "log")) as (engine, url), client(url) as http:
            engine.hub.publish(emotion(1))
            await engine.hub.flush()
            return await request(http)

    asyncio.run(main(lambda http: http.get("/conversations")))
    with closing(sqlite3.connect(tmp_path / "log")) as database, database:
        assert database.execute("UPDATE event SET json = '{}'").rowcount >= 1
    answer = asyncio.run(main(lambda http: http.get("/conversations/demo/export?format=srt")))
    assert (answer.status_code, answer.json()["code"]) == (500, "damaged")


def test_a_log_that_does_not_answer_is_unavailable(tmp_path, monkeypatch):
    monkeypatch.setattr("engine.store.transactions.QUERY_S", 0.05)
    gate = threading.Event()

    async def main():
        async with running(event_log=str(tmp_path / "log")) as (engine, url), client(url) as http:
            stuck = asyncio.ensure_future(engine.hub._event_writer.call(gate.wait))
            for path in ("/conversations", "/conversations/demo/events", "/conversations/demo/export?format=srt"):
                answer = await http.get(path)
                assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
            gate.set()
            await stuck
            assert (await http.get("/conversations")).status_code == 200

    asyncio.run(main())


def test_without_a_log_there_is_no_history_and_conversations_can_still_be_deleted():
    async def main():
        async with running() as (engine, url), client(url) as http:
            engine.hub.publish(emotion(1))
            engine.hub.close("demo")
            assert (await http.get("/conversations/demo/events")).json()["code"] == "no_event_log"
            assert (await http.delete("/conversations/demo")).json() == {"deleted_events": 0}
            assert (await http.get("/conversations")).json() == {"conversations": []}
            assert engine.hub.snapshot("demo").speakers == ()

    asyncio.run(main())
