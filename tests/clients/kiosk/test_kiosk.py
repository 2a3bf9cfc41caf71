"""The kiosk at a real broker that a real engine's sinks publish to."""

import asyncio

import pytest

from clients.kiosk.__main__ import client, greet, show_face, show_json
from clients.kiosk.mood import GREETINGS, Mood
from engine.config import Settings
from engine.server.sinks import open_event_sinks
from testing.events import emotion
from testing.mosquitto import mosquitto, needs_mosquitto


@needs_mosquitto
def test_it_greets_by_what_the_engine_tells_the_broker(tmp_path, capsys):
    async def main():
        shown, enough, ready = [], asyncio.Event(), asyncio.Event()

        def show(event, greeting):
            shown.append((event["speaker"], greeting))
            show_face(event, greeting)
            show_json(event, greeting)
            if len(shown) == 3:
                enough.set()

        async with mosquitto(tmp_path / "broker") as broker, open_event_sinks(Settings(mqtt=broker.url)) as sinks:
            kiosk = asyncio.create_task(greet(broker.url, "cberl/lobby/utterance", show, ready.set))
            await ready.wait()
            async with client(broker.url) as other:
                await other.publish("cberl/lobby/utterance", "{", qos=1)  # harms nobody
            sinks.hub.publish(emotion(1, "maya", conversation="lobby", valence=0.9))
            sinks.hub.publish(emotion(2, "tom", conversation="kitchen", valence=-0.9))
            sinks.hub.publish(emotion(2, "tom", conversation="lobby", valence=0.9))
            sinks.hub.publish(emotion(3, "maya", conversation="lobby", valence=0.9, emotion="fear"))
            await enough.wait()
            kiosk.cancel()
            await asyncio.wait([kiosk])
        assert shown == [("maya", GREETINGS[Mood.BRIGHT]), ("tom", None), ("maya", None)]

    asyncio.run(main())
    out, err = capsys.readouterr()
    assert "maya: joy\n  > Good to see you!" in out
    assert '"expression": "scared"' in out
    assert "no event of an engine" in err


def test_an_address_that_is_none_is_said_so():
    with pytest.raises(ValueError, match="a broker is mqtt://host"):
        client("localhost")
