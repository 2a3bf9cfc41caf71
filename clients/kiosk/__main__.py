"""`python -m clients.kiosk`: receives emotion events over MQTT, shows faces, and greets as `mood.py` decides."""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any
from urllib.parse import SplitResult, unquote

import aiomqtt

from clients.kiosk.broker import parse_broker
from clients.kiosk.face import expression, face
from clients.kiosk.mood import GREETINGS, MoodDecider

RETRY_S = 2.0
Show = Callable[[dict[str, Any], str | None], None]
EXAMPLES = """examples:
  python -m clients.kiosk lobby                           a broker on this machine
  python -m clients.kiosk lobby --mqtt mqtts://me:secret@broker.example
  python -m clients.kiosk lobby --json | my-robot-bridge  one hri_msgs/Expression per line"""


async def greet(broker: SplitResult, topic: str, show: Show, ready: Callable[[], None] = lambda: None) -> None:
    """Calls `show` with each utterance, and with a greeting when it is time for one. Raises MqttError.

    `ready` is called when the topic is subscribed to.
    """
    decider = MoodDecider()
    async with client(broker) as subscriber:
        await subscriber.subscribe(topic, qos=1)
        ready()
        async for message in subscriber.messages:
            try:
                event = json.loads(message.payload)
                mood = decider.push(event, time.monotonic())
                show(event, GREETINGS[mood] if mood else None)
            except (ValueError, TypeError, KeyError, AttributeError) as error:
                print(f"{message.topic}: this is not an event of an engine: {error!r}", file=sys.stderr)


def client(broker: SplitResult) -> aiomqtt.Client:
    """Call it inside a running event loop, as aiomqtt requires."""
    tls = broker.scheme == "mqtts"
    return aiomqtt.Client(
        str(broker.hostname),
        broker.port or (8883 if tls else 1883),
        username=unquote(broker.username) if broker.username else None,
        password=unquote(broker.password) if broker.password else None,
        protocol=aiomqtt.ProtocolVersion.V5,
        tls_params=aiomqtt.TLSParameters() if tls else None,
    )


def show_face(event: dict[str, Any], greeting: str | None) -> None:
    print(f"{face(expression(event)['expression'])}  {event['speaker']}: {event['emotion']}", flush=True)
    if greeting:
        print(f"  > {greeting}", flush=True)


def show_json(event: dict[str, Any], greeting: str | None) -> None:
    print(json.dumps({"speaker": event["speaker"], **expression(event), "greeting": greeting}), flush=True)


async def keep_greeting(broker: SplitResult, topic: str, show: Show) -> None:
    """`greet`, again after every lost connection."""
    place = f"{topic} at {broker.hostname}"
    while True:
        try:
            await greet(broker, topic, show, lambda: print(f"subscribed to {place}", file=sys.stderr, flush=True))
        except aiomqtt.MqttError as error:
            print(f"no connection to the broker: {error}; trying again", file=sys.stderr, flush=True)
        await asyncio.sleep(RETRY_S)


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m clients.kiosk", description="Greets by the mood of a conversation.", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("conversation", help="the conversation to greet; + is every conversation")
    parser.add_argument("--mqtt", default="mqtt://localhost", help="the broker (default: %(default)s)")
    parser.add_argument("--prefix", default="cberl", help="the engine's mqtt_prefix (default: %(default)s)")
    parser.add_argument("--json", action="store_true", help="expressions as JSON Lines instead of faces")
    options = parser.parse_args()
    topic = f"{options.prefix}/{options.conversation}/utterance"
    try:
        broker = parse_broker(options.mqtt)
    except ValueError as error:
        parser.error(str(error))
    with suppress(KeyboardInterrupt):
        asyncio.run(keep_greeting(broker, topic, show_json if options.json else show_face))


if __name__ == "__main__":
    main()
