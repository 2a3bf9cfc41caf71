"""`python -m clients.kiosk`: the shell around `mood.py`: MQTT in, a face and greetings out."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import unquote, urlsplit

import aiomqtt

from clients.kiosk.face import expression, face
from clients.kiosk.mood import GREETINGS, MoodDecider

RETRY_S = 2.0
EXAMPLES = """examples:
  python -m clients.kiosk lobby                           a broker on this machine
  python -m clients.kiosk lobby --mqtt mqtts://me:secret@broker.example
  python -m clients.kiosk lobby --json | my-robot-bridge  hri_msgs/Expression, a line each"""


async def greet(
    url: str, topic: str, show: Callable[[dict[str, Any], str | None], None], ready: Callable[[], None] = lambda: None
) -> None:
    """Until the broker goes: `show` gets each utterance, with a greeting when it is time for one."""
    decider = MoodDecider()
    async with client(url) as broker:
        await broker.subscribe(topic, qos=1)
        ready()
        async for message in broker.messages:
            try:
                event = json.loads(message.payload)
                mood = decider.push(event, time.monotonic())
                show(event, GREETINGS[mood] if mood else None)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                print(f"{message.topic}: this is no event of an engine: {error!r}", file=sys.stderr)


def client(url: str) -> aiomqtt.Client:
    """Raises ValueError where `url` is no broker's."""
    broker = urlsplit(url)
    if broker.scheme not in ("mqtt", "mqtts") or not broker.hostname:
        raise ValueError(f"a broker is mqtt://host or mqtts://user:password@host:8883, not {url!r}")
    tls = broker.scheme == "mqtts"
    return aiomqtt.Client(
        broker.hostname,
        broker.port or (8883 if tls else 1883),
        username=unquote(broker.username) if broker.username else None,
        password=unquote(broker.password) if broker.password else None,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_params=aiomqtt.TLSParameters() if tls else None,
    )


def show_face(event: dict[str, Any], greeting: str | None) -> None:
    print(f"{face(expression(event)['expression'])}  {event['speaker']}: {event['emotion']}")
    if greeting:
        print(f"  > {greeting}")


def show_json(event: dict[str, Any], greeting: str | None) -> None:
    print(json.dumps({"speaker": event["speaker"], **expression(event), "greeting": greeting}), flush=True)


async def stay(url: str, topic: str, show: Callable[[dict[str, Any], str | None], None]) -> None:
    """`greet`, again and again: a kiosk has nobody to restart it."""
    while True:
        try:
            await greet(url, topic, show)
        except aiomqtt.MqttError as error:
            print(f"the broker is away: {error}; trying again", file=sys.stderr)
        await asyncio.sleep(RETRY_S)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m clients.kiosk", description="Greets by the mood of a conversation.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("conversation", help="whom to listen to; + is every conversation")
    parser.add_argument("--mqtt", default="mqtt://localhost", help="the broker (default: %(default)s)")
    parser.add_argument("--prefix", default="cberl", help="the engine's mqtt_prefix (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="expressions as JSON Lines instead of faces")
    options = parser.parse_args()
    topic = f"{options.prefix}/{options.conversation}/utterance"
    try:
        client(options.mqtt)
    except ValueError as error:
        parser.error(str(error))
    with suppress(KeyboardInterrupt):
        asyncio.run(stay(options.mqtt, topic, show_json if options.json else show_face))


if __name__ == "__main__":
    main()
