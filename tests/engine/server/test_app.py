"""Real sockets on a free port. The pipeline behind them is replaced by one that counts audio."""

import asyncio
import json
import signal
import socket
import sys
from pathlib import Path

import httpx
import pytest

from engine.access.guard import Access
from engine.config import Settings
from engine.delivery.wire import decode
from engine.events import SpeakerJoined
from engine.ingest.publisher_session import CHANNEL_CHUNKS
from engine.server.app import create_app
from engine.server.serve import ServerError, serve
from testing.counting import END, MIC, Counter, frame, rest, running, seqs, start, until, ws


def test_pages_and_operations():
    async def main():
        async with running() as (engine, url), httpx.AsyncClient(base_url=url, trust_env=False) as http:
            assert (await http.get("/healthz")).json() == {"status": "ok"}
            assert (await http.get("/readyz")).json() == {"ready": True, "asr": "none", "events_not_encoded": 0}
            engine.ready = False
            assert (await http.get("/readyz")).status_code == 503
            engine.hub.publish(SpeakerJoined("demo", "alice"))
            listed = {"id": "demo", "speakers": ["alice"], "active": True, "last_seq": 2}
            listed |= {"length_s": None, "emotion": None, "ended_at_s": None}
            assert (await http.get("/conversations")).json() == {"conversations": [listed]}
            assert "emotion" in (await http.get("/schema/events.json")).json()["$defs"]
            assert "ingest" in (await http.get("/asyncapi.json")).json()["channels"]
            page = await http.get("/")
            assert (page.status_code, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
            assert (await http.get("/static/index.html")).text == page.text
            assert (await http.get("/static/../../server.py")).status_code == 404

    asyncio.run(main())


def test_publisher_and_subscribers_receive_the_same_events():
    async def main():
        async with (
            running() as (_, url),
            ws(url, "/events?conversation=demo") as bob,
            ws(url, "/ingest?conversation=demo") as alice,
        ):
            await alice.send(start())
            await alice.send(frame(7, at_s=0.0))
            await alice.send(frame(0, at_s=0.02))
            await alice.send(frame(9, at_s=0.04))
            await alice.send(END)
            sent, code, _ = await rest(alice)
            assert code == 1000
            assert [message["type"] for message in sent] == [
                "snapshot", "session.started", "conversation.started", "speaker.joined",
                "emotion", "emotion", "speaker.left", "session.ended",
            ]  # fmt: skip
            assert [message["text"] for message in sent if message["type"] == "emotion"] == ["7", "9"]
            assert (sent[-1]["received_s"], sent[-1]["dropped_chunks"]) == (0.06, 0)
            assert json.loads(await bob.recv())["type"] == "snapshot"
            assert [decode(await bob.recv())[0] for _ in range(5)] == seqs(sent) == [1, 2, 3, 4, 5]

    asyncio.run(main())


def test_two_publishers_share_a_conversation_and_a_hang_up_flushes_the_last_turn():
    async def main():
        async with (
            running() as (_, url),
            ws(url, "/events?conversation=demo") as watcher,
            ws(url, "/ingest?conversation=demo") as alice,
            ws(url, "/ingest?conversation=demo") as bob,
        ):
            await alice.send(start())
            await bob.send(start(MIC | {"speaker": "bob"}))
            await alice.send(frame(7))
            await bob.send(frame(8))
            await until(watcher, "speaker.joined", speaker="alice")
            await until(bob, "speaker.joined", speaker="bob")
            alice.transport.abort()
            assert (await until(watcher, "emotion"))["text"] == "7"
            assert (await until(bob, "emotion"))["speaker"] == "alice"
            await bob.send(END)
            assert (await until(bob, "emotion"))["text"] == "8"
            assert (await rest(bob))[1] == 1000

    asyncio.run(main())


BAD = {
    "bad_json": "{",
    "unknown_message": '{"type": "hello"}',
    "already_started": start(),
    "unknown_track": frame(1, track="other"),
    "truncated_frame": b"\x01",
    "bad_media_time": frame(1, at_s=float("nan")),
    "too_large": bytes(70_000),
}


def test_bad_messages_are_answered_and_affect_no_other_publisher():
    async def main():
        async with (
            running(max_message_bytes=65_536) as (_, url),
            ws(url, "/ingest?conversation=demo") as alice,
            ws(url, "/ingest?conversation=other") as bob,
        ):
            await alice.send(frame(1))
            assert (await until(alice, "error"))["code"] == "not_started"
            await alice.send(start(MIC | {"sample_rate": 96_000}))
            assert (await until(alice, "error"))["code"] == "bad_sample_rate"
            for client in (alice, bob):
                await client.send(start())
            for number, (code, message) in enumerate(BAD.items()):
                await bob.send(frame(5, at_s=number * 0.02))
                await alice.send(message)
                error = await until(alice, "error")
                assert (error["code"], error["fatal"]) == (code, False)
                await alice.send(frame(number + 1, at_s=number * 0.04))
                await alice.send(frame(0, at_s=number * 0.04 + 0.02))
                assert (await until(alice, "emotion"))["text"] == str(number + 1)
            await bob.send(END)
            received, code, _ = await rest(bob)
            assert code == 1000
            assert [message["text"] for message in received if message["type"] == "emotion"] == ["5"]
            assert not [message for message in received if message["type"] == "error"]

    asyncio.run(main())


def test_a_message_far_too_large_closes_the_connection_and_the_turn_is_kept():
    async def main():
        async with (
            running(max_message_bytes=1024) as (_, url),
            ws(url, "/events?conversation=demo") as watcher,
            ws(url, "/ingest?conversation=demo") as client,
        ):
            await client.send(start())
            await client.send(frame(3))
            await until(watcher, "speaker.joined")
            await client.send(bytes(100_000))
            assert (await rest(client))[1] == 1009
            assert (await until(watcher, "emotion"))["text"] == "3"

    asyncio.run(main())


def test_a_refused_publisher_receives_the_reason():
    async def main():
        async with running() as (_, url), ws(url, "/ingest?conversation=demo") as client:
            await client.send(start(MIC | {"speaker": "mallory"}))
            await client.send(frame(1))
            messages, code, _ = await rest(client)
            assert messages[-1] == {"type": "error", "code": "full", "message": "All slots are taken.", "fatal": True}
            assert code == 1013

    asyncio.run(main())


@pytest.mark.parametrize(
    ("path", "headers", "code"),
    [
        ("/events", {}, "bad_name"),
        ("/ingest?conversation=a%2Fb", {}, "bad_name"),
        ("/events?conversation=demo&resume_from_seq=-1", {}, "bad_request"),
        ("/events?conversation=demo&resume_from_seq=%D9%A1", {}, "bad_request"),
        ("/events?conversation=demo", {"Origin": "https://evil.example"}, "forbidden_origin"),
        ("/ingest?conversation=demo", {"Origin": "null"}, "forbidden_origin"),
    ],
)
def test_a_bad_request_is_refused_on_the_socket(path, headers, code):
    async def main():
        async with running(allow_origin="https://good.example") as (_, url):
            async with ws(url, path, additional_headers=headers) as client:
                messages, close_code, _ = await rest(client)
            assert ([message["code"] for message in messages], close_code) == ([code], 1008)
            for origin in (url, "https://good.example"):
                async with ws(url, "/events?conversation=demo", additional_headers={"Origin": origin}) as client:
                    assert json.loads(await client.recv())["type"] == "snapshot"

    asyncio.run(main())


def test_an_upload_faster_than_the_pipeline_waits_and_loses_nothing():
    async def main():
        async with running() as (engine, url), ws(url, "/ingest?conversation=demo", max_queue=None) as client:
            engine.open.clear()
            await client.send(start())
            seconds = 200  # far more than the channel holds
            sending = asyncio.create_task(upload(client, seconds))
            await until(client, "speaker.joined")
            while len(engine.source) < CHANNEL_CHUNKS:  # noqa: ASYNC110 - a channel has no event for being full
                await asyncio.sleep(0.01)
            engine.open.set()
            await sending
            messages, code, _ = await rest(client)
            assert (code, messages[-1]["dropped_chunks"]) == (1000, 0)
            assert engine.heard_s == pytest.approx(messages[-1]["received_s"]) == seconds

    async def upload(client, seconds):
        for second in range(seconds):
            await client.send(frame(1, at_s=float(second), seconds=1.0))
        await client.send(END)

    asyncio.run(main())


def test_a_live_sender_loses_its_oldest_chunks_and_is_informed():
    async def main():
        async with running() as (engine, url), ws(url, "/ingest?conversation=demo") as client:
            engine.open.clear()
            await client.send(start())
            step_s = 0.001  # so short that all of them together are less than what a live sender may be ahead
            total = CHANNEL_CHUNKS + 100
            await client.send(frame(0, seconds=step_s))
            await until(client, "speaker.joined")  # the first chunk is out of the channel
            for number in range(1, total):
                await client.send(frame(number, at_s=number * step_s, seconds=step_s))
            error = await until(client, "error", code="audio_dropped")
            assert error["fatal"] is False
            await client.send(END)
            await until(client, "error", code="audio_dropped")
            engine.open.set()
            messages, code, _ = await rest(client)
            assert (code, messages[-1]["dropped_chunks"]) == (1000, total - CHANNEL_CHUNKS - 1)
            assert [m["text"] for m in messages if m["type"] == "emotion"] == [str(total - 1)]

    asyncio.run(main())


def test_a_port_in_use_is_one_sentence():
    async def main(port):
        settings = Settings(port=port)
        await serve(create_app(Counter(settings), settings, access=Access(None)), settings, print)

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError, match=f"^cannot listen on 127.0.0.1 port {port}: Address already in use;"):
            asyncio.run(main(port))


SERVER = """
import asyncio, sys
from engine.access.guard import Access
from engine.config import Settings
from engine.server.app import create_app
from engine.server.serve import serve
sys.path.insert(0, {root!r})
from testing.counting import Counter

async def main():
    settings = Settings(port=0)
    app = create_app(Counter(settings), settings, access=Access(None))
    await serve(app, settings, lambda url: print(url, flush=True))

asyncio.run(main())
print("ended")
"""


JIT = "ignore:`torch.jit.script:DeprecationWarning"  # see pyproject.toml


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_flushes_closes_and_ends_normally(number):
    async def main():
        root = str(Path(__file__).parents[3])
        server = await asyncio.create_subprocess_exec(
            sys.executable, "-W", "error", "-W", JIT, "-c", SERVER.format(root=root),
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        url = (await server.stdout.readline()).decode().strip()
        async with ws(url, "/events?conversation=demo") as watcher, ws(url, "/ingest?conversation=demo") as client:
            await client.send(start())
            await client.send(frame(3))
            await until(watcher, "speaker.joined")
            server.send_signal(number)
            assert (await rest(watcher))[1] == (await rest(client))[1] == 1012
        out, err = await server.communicate()
        assert (server.returncode, out, err) == (0, b"ended\n", b"")

    asyncio.run(main())
