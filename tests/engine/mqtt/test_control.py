import json

import pytest

from engine.errors import CommandError
from engine.mqtt.control import Command, ReceivedMessage, authorised, parse_command


def received(body, **options):
    return ReceivedMessage(json.dumps(body).encode(), **({"retained": False} | options))


def test_commands_are_read():
    assert parse_command(received({"command": "stop", "conversation": "demo"})) == Command("stop", "demo")
    renamed = {"command": "rename", "conversation": "demo", "speaker": "guest", "name": "Ada"}
    assert parse_command(received(renamed)) == Command("rename", "demo", "guest", "Ada")


@pytest.mark.parametrize(
    ("command", "reason"),
    [
        (ReceivedMessage(b"{", False), "Invalid JSON"),
        (received({"command": "explode", "conversation": "demo"}), "command: Input should be"),
        (received({"command": "stop"}), "conversation: Field required"),
        (received({"command": "stop", "conversation": "demo", "force": True}), "force: Unexpected"),
        (received({"command": "rename", "conversation": "demo"}), "needs speaker and name"),
        (received({"command": "stop", "conversation": "demo"}, retained=True), "must not be retained"),
        (received({"command": "stop", "conversation": "x" * 5000}), "at most 4096 bytes"),
    ],
)
def test_invalid_commands_are_refused_in_a_sentence(command, reason):
    with pytest.raises(CommandError, match=reason):
        parse_command(command)


def test_a_token_is_required_and_an_empty_setting_authorises_nothing():
    assert authorised(ReceivedMessage(b"", False, "séc"), "séc")
    assert not authorised(ReceivedMessage(b"", False, "sec"), "séc")
    assert not authorised(ReceivedMessage(b"", False, ""), "")
