"""The raw features of a corpus's own recordings, computed by the encoders that the live engine uses."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cberl.data.clip_tasks import ClipEncoder
from cberl.data.pictures import read_pictures
from cberl.data.sound import read_spans
from cberl.encoders.audio import AudioEncoderConfig
from cberl.encoders.bundle import open_audio_encoder, open_visual_encoder
from cberl.encoders.visual import VisualEncoderConfig
from cberl.storage import fingerprint
from cberl.types import Float32

_PROSODY, _FACE = "prosody-1", "face-1"  # change when clips must be encoded again


def audio_clip_encoder(audio: AudioEncoderConfig) -> ClipEncoder:
    """Fills `Line.prosody`. Raises `EncoderError` if the bundled speech emotion network is not that of `audio`."""
    open_audio_encoder(audio)
    made_by = f"{_PROSODY}+speech-{audio.speech_sha256}" if audio.features == "prosody+speech" else _PROSODY
    return ClipEncoder("prosody", made_by, "audio", read_spans, partial(_open_audio, audio))


def face_clip_encoder(visual: VisualEncoderConfig, face_detector: Path | None = None) -> ClipEncoder:
    """Fills `Line.face`. Raises `EncoderError` if the bundled expression network is not that of `visual`.

    face_detector: YuNet's ONNX file; None = the bundled cascade.
    """
    open_visual_encoder(visual, face_detector)
    made_by = f"{_FACE}-{visual.max_frames}-{visual.expression_sha256}"
    made_by += f"-yunet-{fingerprint(face_detector)}" if face_detector else ""
    return ClipEncoder("face", made_by, "video", read_pictures, partial(_open_faces, visual, face_detector))


def _open_audio(audio: AudioEncoderConfig) -> Callable[[Float32], Float32]:
    encoder = open_audio_encoder(audio)
    return lambda pcm: encoder.describe(pcm).raw


def _open_faces(
    visual: VisualEncoderConfig, face_detector: Path | None
) -> Callable[[Sequence[NDArray[np.uint8]]], Float32]:
    encoder = open_visual_encoder(visual, face_detector)

    def encode(pictures: Sequence[NDArray[np.uint8]]) -> Float32:
        seen = encoder.describe(pictures)
        return np.empty(0, np.float32) if seen is None else seen.vector

    return encode
