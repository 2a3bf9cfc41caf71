import json
from dataclasses import replace

import pytest

from engine.delivery.wire import TYPES, WireError, decode, encode, json_schema
from engine.events import (
    Disclosure,
    EmotionEvent,
    Error,
    Influence,
    Resync,
    SessionEnded,
    SessionStats,
    Shift,
    Snapshot,
    SpeakerState,
)

EVENT = EmotionEvent(
    conversation="demo", utterance="demo/alice/7", revision=0, status="final", speaker="alice",
    start_s=12.34, end_s=14.02, text="I can't believe you forgot – так.", emotion="anger", confidence=0.71,
    uncertain=False, probabilities={"neutral": 0.29, "anger": 0.71}, valence=-0.51, arousal=0.59,
    shift=Shift("neutral", 1), modalities={"text": 0.93, "audio": 1.0, "visual": None},
    vocabulary="http://www.w3.org/TR/emotion-voc/xml#big6", model="cberl-starter-1",
    timings_ms={"turn": 500.0, "after_speech": 512.0}, lag_s=0.0,
    because=(Influence("demo/bob/6", 0.4125), Influence("demo/alice/5", -0.01)),
)  # fmt: skip
MESSAGES = [
    (42, EVENT),
    (1, replace(EVENT, shift=None, text=None, status="interim")),
    (7, SessionStats("demo", lag_s=0.25, dropped_chunks=3)),
    (8, Disclosure("demo")),
    (None, Snapshot("demo", True, 42, (SpeakerState("alice", True, EVENT), SpeakerState("bob", False)))),
    (None, Resync("demo", 4, 42)),
    (None, SessionEnded("demo", 1.5, 0)),
    (None, Error("bad_json", "No.", fatal=False)),
]


@pytest.mark.parametrize(("seq", "message"), MESSAGES)
def test_encoded_messages_decode_to_themselves(seq, message):
    assert decode(encode(message, seq)) == (seq, message)


def test_an_event_has_the_fields_of_the_contract():
    body = json.loads(encode(EVENT, 42))
    assert (body["type"], body["seq"], body["shift"]) == ("emotion", 42, {"from": "neutral", "turns_ago": 1})
    assert body["id"] == "demo/42@0"
    assert body["modalities"]["visual"] is None
    assert set(body) == {
        "type", "id", "seq", "conversation", "utterance", "revision", "status", "speaker", "start_s", "end_s", "text",
        "emotion", "confidence", "uncertain", "probabilities", "valence", "arousal", "shift", "modalities",
        "vocabulary", "model", "timings_ms", "lag_s", "backchannel", "language", "vocal_events",
        "missing", "because", "modality_weights",
    }  # fmt: skip


def test_floats_are_rounded_by_their_unit():
    event = replace(EVENT, start_s=1.23456, probabilities={"joy": 0.123456}, timings_ms={"turn": 1.2345})
    body = json.loads(encode(event, 1))
    assert (body["start_s"], body["probabilities"], body["timings_ms"]) == (1.235, {"joy": 0.1235}, {"turn": 1.2})


def test_numbers_that_json_lacks_are_refused():
    with pytest.raises(ValueError, match="JSON has no number nan"):
        encode(replace(EVENT, valence=float("nan")), 1)


def test_only_events_have_a_seq():
    with pytest.raises(ValueError, match="EmotionEvent needs a seq"):
        encode(EVENT)
    with pytest.raises(ValueError, match="Error has no seq"):
        encode(Error("x", "y"), 3)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "a message is a JSON object"),
        ('{"type": "emotions"}', "whose type is one of emotion, "),
        ('{"type": ["emotion"]}', "whose type is one of emotion, "),
        ('{"type": "disclosure", "conversation": "a"}', "disclosure needs a seq"),
        ('{"type": "disclosure", "conversation": 3, "seq": 1}', "disclosure: conversation: Input should be a valid"),
        ('{"type": "error", "code": "x"}', "error: message: Field required"),
    ],
)
def test_invalid_messages_are_refused_in_a_sentence(text, reason):
    with pytest.raises(WireError, match=reason):
        decode(text)


def test_the_schema_describes_the_encoded_messages():
    schema = json_schema()
    assert [choice["$ref"] for choice in schema["oneOf"]] == [f"#/$defs/{name}" for name in TYPES]
    for seq, message in MESSAGES:
        body = json.loads(encode(message, seq))
        definition = schema["$defs"][body["type"]]
        assert set(body) == set(definition["properties"])
        assert set(definition["required"]) <= set(body)
    assert "from" in schema["$defs"]["Shift"]["properties"]
