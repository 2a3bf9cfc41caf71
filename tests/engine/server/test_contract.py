import json
from pathlib import Path

import pytest
from cberl_client import Unknown
from cberl_client import decode as decode_as_client
from jsonschema import Draft202012Validator

from engine.delivery.wire import TYPES, decode, encode, json_schema
from engine.server.contract import asyncapi, files

RELEASED = sorted((Path(__file__).parent / "released").glob("*.jsonl"))  # what engines of earlier releases sent


def test_the_documents_are_as_the_code_is():
    for path, text in files().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is old: python -m engine.server.contract"


def test_every_reference_leads_somewhere():
    document = asyncapi()

    def references(value):
        if isinstance(value, dict):
            yield from [value["$ref"]] if "$ref" in value else []
            value = list(value.values())
        for inner in value if isinstance(value, list) else ():
            yield from references(inner)

    found = set(references(document))
    for reference in found:
        there = document
        for part in reference.removeprefix("#/").split("/"):
            there = there[part]
    assert {f"#/components/messages/{name}" for name in TYPES} <= found


def is_part(old, new):
    if isinstance(old, dict):
        return old.keys() <= new.keys() and all(is_part(value, new[name]) for name, value in old.items())
    if isinstance(old, list):
        return len(old) == len(new) and all(map(is_part, old, new))
    return old == new


@pytest.mark.parametrize("path", RELEASED, ids=lambda path: path.stem)
def test_messages_of_earlier_releases_still_mean_the_same(path):
    """New fields may come, with a default; none may go, change its meaning or become required."""
    validator, seen = Draft202012Validator(json_schema()), set()
    for line in path.read_text(encoding="utf-8").splitlines():
        old = json.loads(line)
        seen.add(old["type"])
        seq, message = decode(line)
        new = json.loads(encode(message, seq, old["id"].partition("@")[2] if seq else "0"))
        assert is_part(old, new)
        assert not isinstance(decode_as_client(line), Unknown)
        validator.validate(old)
    assert seen == TYPES.keys() - {"session.stats"}  # it comes every few seconds, if at all
