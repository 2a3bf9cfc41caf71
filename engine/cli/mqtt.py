"""`cberl mqtt`"""

import json
import os
import sys
from collections.abc import Callable
from typing import Any

import aiomqtt
import click
from pydantic_core import from_json
from rich.console import Console
from rich.table import Table

from engine.cli.common import run_async, settings_from, settings_options
from engine.cli.setting_groups import SettingsCommand
from engine.cli.table import COLOURS
from engine.config import Settings
from engine.mqtt.bridge import client_maker
from engine.mqtt.broker import BrokerError, parse_brokers

USED = ("mqtt", "mqtt_prefix", "mqtt_keepalive_s", "mqtt_ca", "mqtt_cert", "mqtt_key", "log_level")
Show = Callable[[aiomqtt.Message], None]


@click.group("mqtt")
def command() -> None:
    """Show what an MQTT broker receives."""


@command.command(
    "watch",
    cls=SettingsCommand,
    epilog="""\b
Examples:
  cberl mqtt watch --mqtt mqtt://localhost
  cberl mqtt watch --mqtt mqtts://me:secret@broker.example lobby
  CBERL_MQTT=mqtt://localhost cberl mqtt watch --json | jq .payload.emotion""",
)
@click.argument("conversation", required=False)
@click.option("--json", "as_json", is_flag=True, help="JSON Lines, also on a terminal (the default in a pipe).")
@settings_options(without=tuple(name for name in Settings.model_fields if name not in USED))
def watch(conversation: str | None, as_json: bool, **flags: Any) -> None:
    """Print the messages that subscribers receive: of CONVERSATION, or all below the prefix. Ctrl-C ends it.

    One line per message: first those that are retained, marked R. Events that waited for the broker are marked H
    (historical).
    """
    settings = settings_from(flags)
    show = _show_json if as_json or not sys.stdout.isatty() else _show_line
    run_async(_watch(settings, conversation, show))


async def _watch(settings: Settings, conversation: str | None, show: Show) -> None:
    brokers = parse_brokers(settings.mqtt)
    if len(brokers) != 1:
        raise BrokerError("--mqtt names the one broker to watch: mqtt://localhost")
    topic = f"{settings.mqtt_prefix}/{conversation}/#" if conversation else f"{settings.mqtt_prefix}/#"
    try:
        async with client_maker(brokers[0], settings, f"cberl-watch-{os.getpid()}")(None) as client:
            await client.subscribe(topic, qos=1)
            click.echo(f"watching {topic} at {brokers[0].name}", err=True)
            async for message in client.messages:
                show(message)
    except aiomqtt.MqttError as error:
        raise BrokerError(f"{brokers[0].name}: {error}") from error


def _show_json(message: aiomqtt.Message) -> None:
    line = {
        "topic": message.topic.value,
        "retained": message.retain,
        "properties": dict(getattr(message.properties, "UserProperty", ())),
        "payload": _payload(message),
    }
    click.echo(json.dumps(line, ensure_ascii=False))


def _show_line(message: aiomqtt.Message) -> None:
    payload = _payload(message)
    body = payload if isinstance(payload, dict) else {}
    mark = "R" if message.retain else "H" if body.get("historical") else ""
    emotion = str(body.get("emotion", ""))
    grid = Table.grid(padding=(0, 1), expand=True)
    for width in (40, 1, 10, 5):
        grid.add_column(width=width, no_wrap=True)
    grid.add_column(ratio=1)
    sure = f"{100 * body['confidence']:.0f}%" if "confidence" in body else ""
    said = f"{body['speaker']}: {body.get('text') or '-'}" if "speaker" in body else str(payload)
    colour = COLOURS.get(emotion, "white")
    grid.add_row(message.topic.value, mark, f"[{colour}]{emotion}[/]", sure, said)
    Console(highlight=False).print(grid)


def _payload(message: aiomqtt.Message) -> Any:
    """The decoded JSON, or the text where it is not JSON."""
    raw = message.payload if isinstance(message.payload, bytes) else str(message.payload or "").encode()
    try:
        return from_json(raw)
    except ValueError:
        return raw.decode(errors="replace")
