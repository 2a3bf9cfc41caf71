"""Webhooks of `cberl serve` as a process with real models."""

import asyncio
import os
import subprocess
import sys

from standardwebhooks import Webhook

from testing.command import MAIN
from testing.live_engine import END, FIRST, emotions, rest, send, start, stretch, ws
from testing.serving import served
from testing.webhook_receiver import Receiver

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_receiver_gets_what_subscribers_get(tmp_path, monkeypatch):
    monkeypatch.setenv("CBERL_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async def main():
        receiver = Receiver()
        async with receiver.running() as port:
            flags = ("--webhook", f"http://127.0.0.1:{port}/hook", "--webhook-text", "--webhook-events", "final,ended")
            with served(tmp_path, *flags, "--rejoin-grace-s", "0") as server:
                async with ws(server.url, "/ingest?conversation=demo") as client:
                    await client.send(start())
                    await send(client, stretch(*FIRST))
                    await client.send(END)
                    finals = emotions(await rest(client))
                await receiver.until(lambda it: len(it.received) == len(finals) + 1)
                assert SECRET not in server.log.read_text()
        sent = [Webhook(SECRET).verify(post.body, post.headers) for post in receiver.received]
        assert finals
        assert [message["data"] for message in sent[:-1]] == finals
        assert sent[-1]["type"] == "conversation.ended"

    asyncio.run(main())


def test_what_waits_survives_when_the_engine_is_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("CBERL_WEBHOOK_SECRET", SECRET)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")

    async def main():
        receiver = Receiver()
        async with receiver.running() as port:
            pass  # nobody listens there now
        flags = ("--webhook", f"http://127.0.0.1:{port}/hook", "--webhook-events", "final", "--event-log", "events.db")
        with served(tmp_path, *flags) as server:
            async with ws(server.url, "/ingest?conversation=demo") as client:
                await client.send(start())
                await send(client, stretch(*FIRST))
                await client.send(END)
                finals = emotions(await rest(client))
            server.process.kill()
        async with receiver.running(port):
            with served(tmp_path, *flags):
                await receiver.until(lambda it: len(it.received) == len(finals))
        sent = [Webhook(SECRET).verify(post.body, post.headers)["data"] for post in receiver.received]
        assert finals
        assert sent == [final | {"text": None} for final in finals]

    asyncio.run(main())


def test_without_a_secret_it_does_not_start(tmp_path):
    command = [sys.executable, "-c", MAIN]
    for verb in ("serve", "doctor"):
        done = subprocess.run(
            [*command, verb, "--webhook", "https://hooks.example/x"], capture_output=True, text=True, cwd=tmp_path
        )
        assert done.returncode == 1
        assert "webhook needs a secret that signs what is sent" in done.stdout + done.stderr
    flag = subprocess.run([*command, "serve", "--webhook-secret", SECRET], capture_output=True, text=True, cwd=tmp_path)
    assert flag.returncode == 2
    printed = subprocess.run(
        [*command, "serve", "--print-config"], capture_output=True, text=True, cwd=tmp_path,
        env=os.environ | {"CBERL_WEBHOOK_SECRET": SECRET},
    )  # fmt: skip
    assert (printed.returncode, "webhook_events" in printed.stdout, SECRET in printed.stdout) == (0, True, False)
