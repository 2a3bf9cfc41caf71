"""A film through the whole engine, with a network for voice and face, real pictures and real speech."""

import asyncio
from dataclasses import asdict
from itertools import cycle, islice
from pathlib import Path

import av
import pytest
import torch

from cberl.calibration import Calibration
from cberl.checkpoint import WEIGHTS, Checkpoint
from cberl.config import ModelConfig
from cberl.encoders.bundle import unfitted_audio_config, with_speech_emotion
from cberl.encoders.text import encoder_files
from cberl.encoders.visual import VisualEncoderConfig
from cberl.model import CBERL
from cberl.onnx import network_files
from cberl.storage import fingerprint
from cberl.types import SAMPLE_RATE
from engine.config import Settings
from engine.delivery.wire import decode
from engine.events import EmotionEvent
from engine.ingest.file import read_media
from engine.media import PullSource
from engine.server.supervisor import Supervisor, open_supervisor
from testing.live_engine import demo
from testing.recordings import write_film

LENGTH_S, RATE = 5, 10


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    """Untrained, for the bundled encoders: 15 audio features and 7 of the face."""
    torch.manual_seed(0)
    encoders = {
        "text": {"sha256": fingerprint(*encoder_files(WEIGHTS / "text"))},
        "audio": asdict(with_speech_emotion(unfitted_audio_config())),
        "visual": asdict(VisualEncoderConfig(fingerprint(*network_files(WEIGHTS / "expression", "expression")))),
    }
    config = ModelConfig(audio_dim=15, visual_dim=7, latent_dim=16, hidden_dim=16, heads=2)
    Checkpoint("sees", CBERL(config).eval(), Calibration((0.0,) * 7), encoders).save(tmp_path / "sees")
    return tmp_path / "sees"


def make_film(shared: Path, path: Path) -> Path:
    """The face of the shared clip, repeated, with the first speaker of the demo."""
    with av.open(str(shared / "data/faces/pyfeat_single_face.mp4")) as container:
        faces = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    return write_film(path, list(islice(cycle(faces), LENGTH_S * RATE)), RATE, demo()[0, : LENGTH_S * SAMPLE_RATE])


async def events_of(supervisor: Supervisor, film: Path, *, look: bool) -> list[EmotionEvent]:
    conversation = f"looked-{look}"
    subscription = supervisor.hub.subscribe(conversation)
    await supervisor.join(conversation, PullSource(read_media(str(film), look=look)), live=False)
    subscription.end("done")
    messages = [decode(text)[1] async for _, text in subscription]
    return [message for message in messages if isinstance(message, EmotionEvent)]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("detector", ["", "models/face_detection_yunet.onnx"], ids=["cascade", "YuNet"])
def test_the_face_of_the_speaker_is_read(checkpoint: Path, shared: Path, tmp_path: Path, detector: str) -> None:
    film = make_film(shared, tmp_path / "film.mkv")
    yunet = str(shared / detector) if detector else ""
    settings = Settings(checkpoint=str(checkpoint), whisper_model="tiny.en", face_detector=yunet)

    async def main() -> tuple[list[EmotionEvent], list[EmotionEvent]]:
        async with open_supervisor(settings) as supervisor:
            assert supervisor.models.looks
            return await events_of(supervisor, film, look=True), await events_of(supervisor, film, look=False)

    seen, unseen = asyncio.run(main())
    assert len(seen) == len(unseen) > 0
    for one, other in zip(seen, unseen, strict=True):
        assert one.modalities["visual"] is not None
        assert 0.1 < one.modalities["visual"] <= 1
        assert other.modalities["visual"] is None
        assert one.modalities["audio"] == other.modalities["audio"] == 1.0
        assert one.text == other.text
        assert one.probabilities != other.probabilities
        assert "describe_visual" in one.timings_ms
        assert "describe_visual" not in other.timings_ms
