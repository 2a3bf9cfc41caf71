import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from cberl_client import Unknown
from cberl_client import decode as decode_as_client
from jsonschema import Draft202012Validator

from engine.delivery.wire import TYPES, decode, encode, json_schema
from engine.server.contract import asyncapi, documents

ENVIRONMENT = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
JIT = "ignore:`torch.jit.script:DeprecationWarning"  # see pyproject.toml
RELEASED = sorted((Path(__file__).parent / "released").glob("*.jsonl"))  # messages of earlier releases


def test_the_documents_match_the_code():
    for path, text in documents().items():
        assert path.read_text(encoding="utf-8") == text, f"{path.name} is old: python -m engine.server.contract"


def test_the_documents_are_written_by_running_the_module(tmp_path):
    """In a copy of the package, as it writes beside itself."""
    root = Path(__file__).parents[3]
    for package in ("engine", "cberl"):
        shutil.copytree(root / package, tmp_path / package, ignore=shutil.ignore_patterns("weights", "__pycache__"))
    command = [sys.executable, "-W", "error", "-W", JIT, "-m", "engine.server.contract"]
    done = subprocess.run(command, cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    written = [tmp_path / path.relative_to(root) for path in documents()]
    assert done.stdout.splitlines() == [str(path) for path in written]
    assert [path.read_text(encoding="utf-8") for path in written] == list(documents().values())


def test_every_reference_is_defined():
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
    """A release may add fields with a default. It must not remove a field, change its meaning or make it required."""
    validator, seen = Draft202012Validator(json_schema()), set()
    for line in path.read_text(encoding="utf-8").splitlines():
        old = json.loads(line)
        seen.add(old["type"])
        seq, message = decode(line)
        new = json.loads(encode(message, seq, old["id"].partition("@")[2] if seq else "0"))
        assert is_part(old, new)
        assert not isinstance(decode_as_client(line), Unknown)
        validator.validate(old)
    rare = {"session.stats", "session.received"}  # only sometimes sent, so not in these recordings
    assert seen == TYPES.keys() - rare
