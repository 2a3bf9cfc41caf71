"""Commands that come over MQTT: start or stop a conversation, give a speaker their name. Pure.

    {"command": "start", "conversation": "lobby"}
    {"command": "stop", "conversation": "lobby"}
    {"command": "rename", "conversation": "lobby", "speaker": "guest", "name": "Ada"}

A command counts where its user property `token` is the one in the settings. A retained one never does: it would be
carried out again at every connection.
"""

import hmac
from dataclasses import dataclass
from typing import Literal

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

MAX_BYTES = 4096


class CommandError(ValueError):
    """A command that is not carried out, in one sentence."""


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Command:
    """`speaker` and `name` are for `rename`: who is called what from now on."""

    command: Literal["start", "stop", "rename"]
    conversation: str
    speaker: str = ""
    name: str = ""


_COMMAND = TypeAdapter(Command)


@dataclass(frozen=True, slots=True)
class Received:
    """An MQTT message, as far as it matters here."""

    payload: bytes
    retained: bool
    token: str = ""


def authorised(received: Received, token: str) -> bool:
    return bool(token) and hmac.compare_digest(received.token.encode(), token.encode())


def parse_command(received: Received) -> Command:
    """Raises CommandError."""
    if received.retained:
        raise CommandError("A command must not be retained.")
    if len(received.payload) > MAX_BYTES:
        raise CommandError(f"A command has at most {MAX_BYTES} bytes.")
    try:
        command = _COMMAND.validate_json(received.payload)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CommandError(f"{where}: {first['msg']}." if where else f"{first['msg']}.") from error
    if command.command == "rename" and not (command.speaker and command.name):
        raise CommandError("rename needs speaker and name.")
    return command
