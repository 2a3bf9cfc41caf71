"""With real models, every sink receives the same finals, with the same ids, once, in the same order."""

import asyncio
from functools import partial
from pathlib import Path

import httpx
import pytest

from engine.access.guard import Access
from engine.config import Settings
from engine.errors import CommandError
from engine.server.app import create_app
from engine.server.serve import serve
from engine.server.sinks import open_event_sinks
from engine.server.supervisor import open_supervisor
from testing.live_engine import END, FIRST, emotions, rest, send, start, stretch, until, ws
from testing.mosquitto import mosquitto, needs_mosquitto, watching


@needs_mosquitto
def test_sockets_log_and_broker_receive_the_same_finals_and_commands_are_executed(tmp_path: Path) -> None:
    async def main() -> None:
        async with mosquitto(tmp_path / "broker") as broker, watching(broker) as watcher:
            log = str(tmp_path / "log")
            settings = Settings(
                port=0, whisper_model="tiny.en", mqtt=broker.url, mqtt_text=True, event_log=log, keep_text=True
            )
            settings = settings.model_copy(update={"interim_ms": 0, "stats_s": 3600})  # finals alone are compared
            url: asyncio.Future[str] = asyncio.get_running_loop().create_future()
            async with (
                open_event_sinks(settings) as sinks,
                open_supervisor(settings, sinks.hub) as supervisor,
                asyncio.TaskGroup() as tasks,
            ):
                app = create_app(supervisor, settings, sinks, access=Access(None))
                server = tasks.create_task(serve(app, settings, url.set_result))
                await supervisor.start("demo")
                refused = [
                    (partial(supervisor.stop, "other"), "No conversation other"),
                    (partial(supervisor.rename, "demo", "tom", "Tim"), "Nobody called tom"),
                ]
                for command, reason in refused:
                    with pytest.raises(CommandError, match=reason):
                        command()
                with pytest.raises(CommandError, match="may not contain"):
                    await supervisor.start("a/b")
                async with ws(await url, "/ingest?conversation=demo") as client:
                    await client.send(start())
                    await send(client, stretch(*FIRST))
                    first = await until(client, "emotion")
                    supervisor.rename("demo", first["speaker"], "Ada")
                    await client.send(END)
                    received = await rest(client)
                async with ws(await url, "/ingest?conversation=demo") as client:
                    await client.send(start())
                    await send(client, stretch(0.0, 0.2))
                    await until(client, "speaker.joined")
                    supervisor.stop("demo")
                    assert (await rest(client))[-1]["code"] == "stopped"
                    assert client.close_code == 1008
                finals = [first, *emotions(received)]
                await watcher.until(lambda it: len(it.of("utterance")) == len(finals))
                assert watcher.of("utterance") == finals
                async with httpx.AsyncClient(base_url=await url, trust_env=False) as http:
                    kept = (await http.get("/conversations/demo/events?limit=1000")).json()["events"]
                assert [event for event in kept if event["type"] == "emotion"] == finals
                assert [event["seq"] for event in kept] == list(range(1, len(kept) + 1))
                speakers = [event["speaker"] for event in finals]
                assert first["speaker"] not in speakers[speakers.index("Ada") :]
                server.cancel()

    asyncio.run(main())
