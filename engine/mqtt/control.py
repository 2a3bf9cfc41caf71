"""Commands over MQTT: start or stop a conversation, rename a speaker. Pure.

    {"command": "start", "conversation": "lobby"}
    {"command": "stop", "conversation": "lobby"}
    {"command": "rename", "conversation": "lobby", "speaker": "guest", "name": "Ada"}

A command counts only if its user property `token` is the one in the settings. A retained command is refused: the
broker would deliver it again at every connection.
"""

import hmac
from dataclasses import dataclass
from typing import Literal, Protocol

from pydantic import ConfigDict, TypeAdapter, ValidationError
from pydantic.dataclasses import dataclass as checked

from engine.errors import CommandError

MAX_BYTES = 4096


class Conversations(Protocol):
    """What commands act on. Every method raises CommandError where it cannot do what it is asked to."""

    async def start(self, conversation: str) -> None: ...

    def stop(self, conversation: str) -> None: ...

    def rename(self, conversation: str, speaker: str, name: str) -> None: ...


@checked(frozen=True, config=ConfigDict(extra="forbid"))
class Command:
    """`speaker` and `name` belong to `rename`: the present name and the new one."""

    command: Literal["start", "stop", "rename"]
    conversation: str
    speaker: str = ""
    name: str = ""


_COMMAND = TypeAdapter(Command)


@dataclass(frozen=True, slots=True)
class ReceivedMessage:
    """The parts of an MQTT message that matter here."""

    payload: bytes
    retained: bool
    token: str = ""


def authorised(received: ReceivedMessage, token: str) -> bool:
    """Whether the message has this token. Nothing is authorised by an empty one."""
    return bool(token) and hmac.compare_digest(received.token.encode(), token.encode())


def parse_command(received: ReceivedMessage) -> Command:
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


async def execute(command: Command, conversations: Conversations) -> None:
    """Raises CommandError."""
    match command.command:
        case "start":
            await conversations.start(command.conversation)
        case "stop":
            conversations.stop(command.conversation)
        case "rename":
            conversations.rename(command.conversation, command.speaker, command.name)
