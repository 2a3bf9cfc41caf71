"""A checkpoint opens only with the encoders that it was trained with."""

import json
import shutil
from pathlib import Path

import pytest

from cberl.checkpoint import STARTER, CheckpointError
from cberl.encoders.bundle import TEXT_ENCODER, load_checkpoint_and_encoders


def changed(folder: Path, modality: str, **encoder: object) -> Path:
    """The starter with another configuration of one encoder."""
    shutil.copytree(STARTER, folder)
    config = json.loads((folder / "config.json").read_text())
    config["encoders"][modality] |= encoder
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_the_starter_opens_with_the_bundled_encoders() -> None:
    checkpoint, encoders = load_checkpoint_and_encoders(STARTER)
    dims = {"text": encoders.text.dim, "audio": encoders.audio.dim, "visual": encoders.visual.dim}
    assert dims == checkpoint.config.modality_dims


@pytest.mark.parametrize(
    ("modality", "key", "what"),
    [
        ("text", "sha256", "text encoder .*: give its folder as --text-encoder"),
        ("audio", "speech_sha256", "speech emotion network"),
        ("visual", "expression_sha256", "expression network"),
    ],
)
def test_another_encoder_is_refused(tmp_path: Path, modality: str, key: str, what: str) -> None:
    with pytest.raises(CheckpointError, match=f"copy cannot be used: it was trained with another {what}"):
        load_checkpoint_and_encoders(changed(tmp_path / "copy", modality, **{key: "0"}))


def test_an_incomplete_text_encoder_is_refused(tmp_path: Path) -> None:
    shutil.copy(TEXT_ENCODER / "text.json", tmp_path)
    with pytest.raises(CheckpointError, match=r"text\.onnx is missing: a text encoder is a folder that"):
        load_checkpoint_and_encoders(STARTER, tmp_path)


def test_an_invalid_encoder_configuration_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="does not say how its input was encoded"):
        load_checkpoint_and_encoders(changed(tmp_path / "copy", "audio", features="mfcc"))


def test_a_missing_face_detector_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"yunet\.onnx is missing: --face-detector takes"):
        load_checkpoint_and_encoders(STARTER, face_detector=tmp_path / "yunet.onnx")
