"""The documents: links, sizes, the names that they quote from the code, and sample payloads."""

import json
import re
from pathlib import Path

import pytest

from engine.delivery.wire import EncodedEvent
from testing.events import emotion

ROOT = Path(__file__).parents[1]
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("clients/*/README.md")])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_relative_links_lead_to_files(page: Path) -> None:
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text(encoding="utf-8"))
    assert not [link for link in links if not (page.parent / link).exists()]


def test_the_readme_is_short_and_narrow() -> None:
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert not [line for line in lines if len(line) > 120]


def test_the_walk_of_a_chunk_names_existing_files_and_functions() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")
    walk = text.partition("## From an audio chunk to an event")[2]
    quoted = re.findall(r"`([^`]+)`", walk)
    sources = "\n".join(path.read_text(encoding="utf-8") for path in [*ROOT.glob("engine/**/*.py")])
    sources += (ROOT / "cberl" / "step" / "network.py").read_text(encoding="utf-8")
    names = [
        part for it in quoted if re.fullmatch(r"[A-Za-z_.]+", it) and not it.endswith(".py") for part in it.split(".")
    ]
    assert len(names) > 30
    definition = r"(?:class|def) {}\b"
    known = {"session", "start"}  # of the message session.start
    assert not [name for name in names if name not in known and not re.search(definition.format(name), sources)]
    files = [it for it in quoted if it.endswith(".py")]
    paths = {path.as_posix() for folder in ("engine", "cberl") for path in (ROOT / folder).glob("**/*.py")}
    assert not [it for it in files if not any(path.endswith("/" + it) for path in paths)]


def test_the_sample_payload_of_mqtt_has_the_fields_of_an_event() -> None:
    text = (ROOT / "docs" / "mqtt.md").read_text(encoding="utf-8")
    (payload,) = re.findall(r"^0 \S+/utterance (\{.*\})$", text, re.MULTILINE)
    assert list(json.loads(payload)) == list(json.loads(EncodedEvent(emotion(), 1, "0").json))


def test_the_sample_event_of_the_protocol_has_fields_of_an_event() -> None:
    text = (ROOT / "docs" / "protocol.md").read_text(encoding="utf-8")
    (sample,) = re.findall(r'```json\n(\{"type": "emotion".*?)```', text, re.DOTALL)
    assert json.loads(sample).keys() - {"…"} <= json.loads(EncodedEvent(emotion(), 1, "0").json).keys()
