"""The client's dataclasses against the engine's own schema and its own encoder."""

from dataclasses import MISSING, asdict, fields

import pytest
from cberl_client import ClientError, EmotionEvent, Influence, Shift, Unknown, decode
from cberl_client.events import TYPES, SpeakerState

from engine.delivery.wire import encode, json_schema
from tests.engine.delivery.test_wire import MESSAGES

SCHEMA = json_schema()["$defs"]


PARTS = {"Influence": Influence, "Shift": Shift, "SpeakerState": SpeakerState}


@pytest.mark.parametrize("name", [*(name for name in SCHEMA if name in TYPES), *PARTS])
def test_every_field_of_the_schema_is_there_and_optional_only_where_it_may_be(name):
    kind = PARTS.get(name) or TYPES[name]
    known = {it.metadata.get("wire", it.name): it for it in fields(kind)}
    assert known.keys() == SCHEMA[name]["properties"].keys() - {"type"}
    needed = {wire for wire, it in known.items() if it.default is MISSING}
    assert set(SCHEMA[name]["required"]) - {"type"} <= needed


def test_no_message_of_the_engine_is_unknown():
    assert TYPES.keys() == {choice["$ref"].rpartition("/")[2] for choice in json_schema()["oneOf"]}


@pytest.mark.parametrize(("seq", "message"), MESSAGES)
def test_what_the_engine_writes_is_read_with_the_same_values(seq, message):
    read, sent = asdict(decode(encode(message, seq))), asdict(message)
    if seq is not None:
        assert (read.pop("id"), read.pop("seq")) == (f"demo/{seq}@0", seq)
    for state in read.get("speakers", ()):
        for name in ("id", "seq"):
            (state["current"] or {name: None}).pop(name)
    assert read == sent


def test_newer_fields_are_passed_over_and_newer_types_are_kept():
    seq, message = MESSAGES[0]
    newer = encode(message, seq)[:-1] + ',"laughter":0.9}'
    assert isinstance(decode(newer), EmotionEvent)
    assert decode('{"type":"gesture","seq":3}') == Unknown("gesture", {"type": "gesture", "seq": 3})


@pytest.mark.parametrize("text", ["{", "[]", "{}", '"emotion"', '{"type":"emotion","seq":1}', '{"type":[]}'])
def test_a_text_that_is_not_a_message_is_refused(text):
    with pytest.raises(ClientError, match="not a message of an engine"):
        decode(text)
