"""The features of a corpus's own recordings equal those that the live engine computes."""

from dataclasses import replace
from pathlib import Path

import av
import numpy as np
import pytest

from cberl.data.clip_tasks import ClipEncoder
from cberl.data.clips import encode_clips
from cberl.data.dialogue import Clip, Dialogue, Line
from cberl.encoders.bundle import (
    bundled_visual_config,
    open_audio_encoder,
    open_visual_encoder,
    unfitted_audio_config,
)
from cberl.encoders.visual import VisualEncoderConfig
from cberl.errors import EncoderError
from cberl.training.features.clip_encoders import audio_clip_encoder, face_clip_encoder
from cberl.types import SAMPLE_RATE
from engine.ingest.video_reader import VideoReader
from testing.corpora import make_talking_film
from testing.recordings import tone, write_wav


@pytest.fixture(scope="module")
def film(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_talking_film(shared, tmp_path_factory.mktemp("film") / "film.mkv")


def encoded(encoder: ClipEncoder, folder: Path, *clips: Clip) -> tuple[tuple[Line, ...], list[str]]:
    lines = tuple(Line("a", "hi", 0, float(i), i + 1.0, clip=clip) for i, clip in enumerate(clips))
    (dialogue,), problems = encode_clips([Dialogue("d", lines)], encoder, folder / "cache")
    return dialogue.lines, problems


def test_audio_features_equal_the_live_ones(film: Path, tmp_path: Path) -> None:
    audio = unfitted_audio_config(speech_emotion=True)
    (line,), problems = encoded(audio_clip_encoder(audio), tmp_path, Clip(film, 0.0, 2.0))
    with av.open(str(film)) as container:
        pcm = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    live = open_audio_encoder(audio).describe((pcm[: 2 * SAMPLE_RATE] / 32768).astype(np.float32))
    assert not problems
    assert line.prosody is not None
    assert line.prosody.shape == (8 + 768,)
    np.testing.assert_allclose(line.prosody, live.raw, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("detector", [None, "models/face_detection_yunet.onnx"], ids=["cascade", "YuNet"])
def test_face_features_equal_the_live_ones_and_are_absent_without_a_face(
    film: Path, shared: Path, tmp_path: Path, detector: str | None
) -> None:
    visual, yunet = bundled_visual_config(), shared / detector if detector else None
    encoder = face_clip_encoder(visual, yunet)
    (seen, nobody), problems = encoded(encoder, tmp_path, Clip(film, 0.5, 1.5), Clip(film, 2.2, 2.9))
    reader = VideoReader(str(film))
    pictures = [rgb for at_s, rgb in reader.until(9.0) if 0.5 <= at_s <= 1.5]
    reader.close()
    live = open_visual_encoder(visual, yunet).describe(pictures)
    assert not problems
    assert nobody.face is None
    assert live is not None
    assert seen.face is not None
    np.testing.assert_allclose(seen.face, live.vector, atol=1e-5)


def test_features_of_another_face_detector_are_not_taken_from_the_cache(shared: Path) -> None:
    yunet = face_clip_encoder(bundled_visual_config(), shared / "models/face_detection_yunet.onnx")
    assert yunet.made_by != face_clip_encoder(bundled_visual_config()).made_by


def test_a_clip_without_a_face_is_cached_and_one_without_video_is_reported(film: Path, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "sound.wav", tone(200, 1)[None])
    encoder = face_clip_encoder(bundled_visual_config())
    _, problems = encoded(encoder, tmp_path, Clip(film, 2.2, 2.9), Clip(wav))
    assert problems == [f"{wav} has no video stream"]
    (journal,) = (tmp_path / "cache").glob("*.jsonl")
    assert journal.read_text().count('"audio": []') == 1


def test_another_network_than_the_installed_one_is_refused() -> None:
    with pytest.raises(EncoderError, match="another expression network"):
        face_clip_encoder(VisualEncoderConfig("0" * 64))
    with pytest.raises(EncoderError, match="another speech emotion network"):
        audio_clip_encoder(replace(unfitted_audio_config(speech_emotion=True), speech_sha256="0" * 64))
