"""How the clips of a corpus are heard and seen: as the live engine would, by the networks that come along."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cberl.checkpoint import WEIGHTS
from cberl.data.clips import Sense
from cberl.data.dialogue import DataError
from cberl.data.features import fingerprint
from cberl.data.pictures import read_pictures
from cberl.data.sound import read_spans
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import CascadeDetector
from cberl.encoders.frames import Float32
from cberl.encoders.log_ratio import EVIDENCE_DIM
from cberl.encoders.onnx import network_files
from cberl.encoders.prosody import PROSODY_NAMES
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.encoders.visual import FaceVisual, VisualEncoderConfig

SPEECH, EXPRESSION = WEIGHTS / "speech", WEIGHTS / "expression"
UNSCALED = AudioEncoderConfig((0.0,) * len(PROSODY_NAMES), (1.0,) * len(PROSODY_NAMES))
_HEARD_BY, _SEEN_BY = "prosody-1", "face-1"  # change when clips must be described anew


def with_voice() -> AudioEncoderConfig:
    """`UNSCALED`, and the speech network that comes along."""
    width = len(PROSODY_NAMES) + EVIDENCE_DIM
    sha256 = fingerprint(*network_files(SPEECH, "speech"))
    return replace(
        UNSCALED, prior_mean=(0.0,) * width, prior_sd=(1.0,) * width, features="prosody+speech", speech_sha256=sha256
    )


def with_face() -> VisualEncoderConfig:
    """Faces as the expression network that comes along reads them."""
    return VisualEncoderConfig(fingerprint(*network_files(EXPRESSION, "expression")))


def hearing(audio: AudioEncoderConfig) -> Sense:
    """What `audio` describes of a sound. Raises `DataError` where its speech network is not the installed one."""
    if audio.features != "prosody+speech":
        return Sense("prosody", _HEARD_BY, "sound", read_spans, _open_ears)
    _require_installed(SPEECH, "speech", audio.speech_sha256)
    made_by = f"{_HEARD_BY}+speech-{audio.speech_sha256}"
    return Sense("prosody", made_by, "sound", read_spans, partial(_open_ears, SPEECH))


def seeing(visual: VisualEncoderConfig) -> Sense:
    """What `visual` makes of a face. Raises `DataError` where its expression network is not the installed one."""
    _require_installed(EXPRESSION, "expression", visual.expression_sha256)
    made_by = f"{_SEEN_BY}-{visual.max_frames}-{visual.expression_sha256}"
    return Sense("face", made_by, "picture", read_pictures, partial(_open_eyes, EXPRESSION, visual))


def _open_ears(speech: Path | None = None) -> Callable[[Float32], Float32]:
    if speech is None:
        return AudioEncoder(UNSCALED).describe
    return AudioEncoder(with_voice(), SpeechEncoder(speech)).describe


def _open_eyes(expression: Path, visual: VisualEncoderConfig) -> Callable[[Sequence[NDArray[np.uint8]]], Float32]:
    encoder = FaceVisual(CascadeDetector(), ExpressionEncoder(expression), visual)

    def describe(pictures: Sequence[NDArray[np.uint8]]) -> Float32:
        seen = encoder.describe(pictures)
        return np.empty(0, np.float32) if seen is None else seen.vector

    return describe


def _require_installed(folder: Path, name: str, sha256: str) -> None:
    if sha256 != fingerprint(*network_files(folder, name)):
        raise DataError(
            f"these features need another {name} network than the installed one: train the checkpoint again, or "
            "install the version of cberl-engine that it came with"
        )
