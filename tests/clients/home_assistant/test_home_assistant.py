"""What the engine announces, and the blueprint, checked by Home Assistant's own code in an environment of its own."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from engine.delivery.wire import encode
from engine.mqtt.home_assistant import HomeAssistant
from engine.mqtt.topics import Topics
from engine.store.outbox import OutboxRow
from testing.events import emotion

ROOT = Path(__file__).parents[3]
PYTHON = Path(os.environ.get("HOME_ASSISTANT_PYTHON", ROOT / ".venv-home-assistant" / "bin" / "python"))
BLUEPRINT = ROOT / "clients" / "home_assistant" / "blueprints" / "automation" / "cberl" / "change_of_emotion.yaml"


@pytest.mark.skipif(not PYTHON.exists(), reason="no Home Assistant: make home-assistant")
@pytest.mark.parametrize("speaker", ["alice", 'Zoë "Z" O\'Neil {{ 1 }}'])
def test_home_assistant_accepts_devices_templates_and_blueprint(speaker: str) -> None:
    state = encode(emotion(1, speaker, "joy", confidence=0.875), 1)
    change = json.dumps(json.loads(state) | {"previous": "neutral"})
    row = OutboxRow(1, 0.0, "current", "id", "living room", speaker, state)
    given = {
        "discovery": HomeAssistant("homeassistant", Topics("cberl", "engine"), 600.0).discovery(row).payload,
        "state": state,
        "change": change,
        "other": json.dumps(json.loads(change) | {"speaker": "somebody else"}),
        "blueprint": str(BLUEPRINT),
        "inputs": {"changes": ["event.alice"], "actions": [{"action": "light.turn_on"}]},
    }
    script = Path(__file__).with_name("inside_home_assistant.py")
    done = subprocess.run([PYTHON, script], input=json.dumps(given), capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["components"] == {
        "emotion": "sensor", "confidence": "sensor", "valence": "sensor", "arousal": "sensor", "change": "event",
    }  # fmt: skip
    rendered = found["rendered"]
    assert (rendered["emotion"], float(rendered["confidence"]), float(rendered["valence"])) == ("joy", 87.5, 0.5)
    assert json.loads(rendered["change"]) == {"event_type": "joy", "previous": "neutral"}
    assert rendered["other"] == ""  # which Home Assistant ignores
    assert found["entities"] == ["event.alice"]
