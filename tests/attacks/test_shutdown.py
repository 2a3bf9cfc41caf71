"""SIGTERM in the middle of a turn."""

import asyncio
import signal
import sqlite3
import time
from pathlib import Path

from cberl.types import SAMPLE_RATE
from engine.store.event_log import EventLog
from testing.live_engine import SCRIPT, demo, emotions, rest, send, start, stretch, until, ws
from testing.serving import Served, served
from testing.whip_client import Voice, publishing

EXITS_WITHIN_S = 10.0


def middle_of(turn: int) -> float:
    it = SCRIPT.turns[turn - 1]
    return (it.start_s + it.end_s) / 2


async def terminate(server: Served) -> float:
    """Seconds from SIGTERM until the process has ended."""
    began = time.monotonic()
    server.process.send_signal(signal.SIGTERM)
    while server.process.poll() is None:  # noqa: ASYNC110 - of a process that is not asyncio's
        await asyncio.sleep(0.05)
    return time.monotonic() - began


def test_sigterm_in_a_turn_delivers_its_event_to_everybody_before_the_sockets_close(tmp_path: Path) -> None:
    """A publisher on a WebSocket and one by WHIP, both in the middle of a turn, and two subscribers."""

    async def main() -> None:
        log = tmp_path / "log"
        with served(tmp_path, "--event-log", str(log), "--keep-text") as server:
            tom = SCRIPT.turns[1]
            voice = Voice(demo()[1, round((tom.start_s - 0.5) * SAMPLE_RATE) :])
            async with (
                ws(server.url, "/events?conversation=demo") as watcher,
                ws(server.url, "/events?conversation=*") as everything,
                ws(server.url, "/ingest?conversation=demo") as client,
                publishing(server.url, "call", "tom", voice),
            ):
                await client.send(start())
                await send(client, stretch(0.0, middle_of(2)))
                await until(watcher, "emotion")  # of turn 1, so that turn 2 is being spoken
                await asyncio.sleep(2)  # of tom's turn by WHIP, in real time
                ending = asyncio.create_task(terminate(server))
                received, seen, all_seen = await asyncio.gather(rest(client), rest(watcher), rest(everything))
                assert {socket.close_code for socket in (client, watcher, everything)} == {1012}
                assert await ending < EXITS_WITHIN_S
            assert server.process.returncode == 0
            assert [event["speaker"] for event in emotions(received)][-1] == SCRIPT.turns[1].speaker
            assert emotions(seen)[-1] == emotions(received)[-1]
            assert seen[-1]["type"] == "conversation.ended"
            assert [event["speaker"] for event in emotions(all_seen) if event["conversation"] == "call"] == ["tom"]
            assert not [message for message in received if message["type"] in ("session.ended", "error")]
            assert "Traceback" not in server.log.read_text()
        events = EventLog(sqlite3.connect(log))
        for conversation in ("demo", "call"):
            stored = [seq for seq, _ in events.events(conversation, 0, 1000)]
            sent = [message for message in all_seen if message.get("conversation") == conversation]
            assert stored == [message["seq"] for message in sent if "seq" in message]

    asyncio.run(main())


HUNG = """
import time
from engine.speech.whisper import WhisperTranscriber

def hang(self, clips):
    if any(len(clip) > 16_000 for clip in clips):  # not while warming up
        time.sleep(600)
    return original(self, clips)

original, WhisperTranscriber.transcribe = WhisperTranscriber.transcribe, hang
"""


def test_a_model_that_hangs_does_not_keep_the_process_alive(tmp_path: Path) -> None:
    async def main() -> None:
        with served(tmp_path, before=HUNG) as server:
            async with ws(server.url, "/ingest?conversation=demo") as client:
                await client.send(start())
                await send(client, stretch(0.0, middle_of(2)))
                await until(client, "speaker.joined")
                await asyncio.sleep(1)
                took_s = await terminate(server)
                await rest(client)
                assert client.close_code == 1012
            assert took_s < 3 * EXITS_WITHIN_S  # on a busy machine
            assert server.process.returncode == 1
            assert "did not end within 10 s" in server.log.read_text()

    asyncio.run(main())
