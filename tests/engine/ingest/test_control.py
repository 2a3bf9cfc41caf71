import json

import pytest

from engine.events import Error
from engine.ingest.protocol import IngestProtocol

ENDLESS = [
    json.dumps({"type": "session.start", "tracks": [{}] * 500_000}),
    json.dumps({"type": "session.start", "tracks": [{"id": "mic", "speaker": "x" * 100_000, "kind": "audio"}]}),
]


@pytest.mark.parametrize("message", ENDLESS)
def test_a_long_control_message_is_not_parsed(message):
    (answer,) = IngestProtocol(max_message_bytes=1 << 26).receive(message)
    assert answer == Error("too_large", f"A text message has at most 65536 bytes, not {len(message)}.")
