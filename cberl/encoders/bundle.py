"""The encoders of a checkpoint: verified by sha256 and opened. Training and the live engine both use this.

A checkpoint works only with the encoders that it was trained with, so it stores a digest of their files. The text
encoder is a folder that may be chosen; the speech emotion and expression networks are those bundled in `cberl/weights`.
"""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cberl.checkpoint_files import WEIGHTS, CheckpointError
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import open_detector
from cberl.encoders.prosody import PROSODY_NAMES
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.encoders.text import TextEncoder, encoder_files
from cberl.encoders.visual import FaceVisual, NoVisual, VisualEncoder, VisualEncoderConfig
from cberl.errors import EncoderError
from cberl.live_checkpoint import LiveCheckpoint, load_live_checkpoint
from cberl.onnx import network_files
from cberl.storage import fingerprint

TEXT_ENCODER, SPEECH, EXPRESSION = WEIGHTS / "text", WEIGHTS / "speech", WEIGHTS / "expression"
REMEDY = "train it again with `cberl train`, or install the version of cberl-engine that it came with"


@dataclass(frozen=True, slots=True)
class EncoderConfigs:
    """What a checkpoint stores of its encoders."""

    text_sha256: str
    audio: AudioEncoderConfig
    visual: VisualEncoderConfig | None  # None = no visual modality


@dataclass(frozen=True, slots=True, eq=False)
class Encoders:
    """One encoder per modality, all stateless: they may be shared between conversations and threads."""

    text: TextEncoder
    audio: AudioEncoder
    visual: VisualEncoder


def load_checkpoint_and_encoders(
    checkpoint_folder: Path,
    text_encoder_folder: Path = TEXT_ENCODER,
    device: str = "cpu",
    face_detector: Path | None = None,
) -> tuple[LiveCheckpoint, Encoders]:
    """A checkpoint that runs utterance by utterance on `device`, and the encoders that it was trained with.

    face_detector: YuNet's ONNX file; None = the bundled cascade. Raises `CheckpointError`, also when an encoder is
    missing or is not the one that the checkpoint was trained with.
    """
    checkpoint = load_live_checkpoint(checkpoint_folder, device)
    configs = encoder_configs(checkpoint.name, checkpoint.encoders)
    try:
        return checkpoint, Encoders(
            open_text_encoder(text_encoder_folder, configs.text_sha256),
            open_audio_encoder(configs.audio),
            open_visual_encoder(configs.visual, face_detector),
        )
    except EncoderError as error:
        raise CheckpointError(f"{checkpoint_folder} cannot be used: {error}") from error


def encoder_configs(name: str, stored: dict[str, Any]) -> EncoderConfigs:
    """`stored`: the `encoders` of the checkpoint `name`. Raises `CheckpointError` where they are incomplete."""
    try:
        visual = VisualEncoderConfig(**stored["visual"]) if stored.get("visual") else None
        return EncoderConfigs(stored["text"]["sha256"], AudioEncoderConfig(**stored["audio"]), visual)
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{name} does not say how its input was encoded ({error}): train it again") from error


def open_text_encoder(folder: Path, sha256: str, *, threads: int = 1) -> TextEncoder:
    """The text encoder in `folder`. Raises `EncoderError` if it is missing or has another digest."""
    _verify("text encoder", sha256, f"give its folder as --text-encoder, {REMEDY}", *encoder_files(folder))
    return TextEncoder(folder, threads=threads)


def open_audio_encoder(config: AudioEncoderConfig) -> AudioEncoder:
    """With the speech emotion network where `config` asks for it. Raises `EncoderError` if it has another digest."""
    if config.features != "prosody+speech":
        return AudioEncoder(config)
    _verify("speech emotion network", config.speech_sha256, REMEDY, *speech_files())
    return AudioEncoder(config, SpeechEncoder(SPEECH))


def open_visual_encoder(config: VisualEncoderConfig | None, face_detector: Path | None = None) -> VisualEncoder:
    """Raises `EncoderError` if the expression network has another digest, or there is no such detector."""
    if config is None:
        return NoVisual()
    _verify("expression network", config.expression_sha256, REMEDY, *network_files(EXPRESSION, "expression"))
    return FaceVisual(open_detector(face_detector), ExpressionEncoder(EXPRESSION), config)


def unfitted_audio_config(*, speech_emotion: bool = False) -> AudioEncoderConfig:
    """Prosody, and with `speech_emotion` the scores of the bundled network; a prior of mean 0, sd 1."""
    prosody = AudioEncoderConfig((0.0,) * len(PROSODY_NAMES), (1.0,) * len(PROSODY_NAMES))
    return with_speech_emotion(prosody) if speech_emotion else prosody


def with_speech_emotion(prosody: AudioEncoderConfig) -> AudioEncoderConfig:
    """The same with the scores of the bundled network."""
    return replace(prosody, features="prosody+speech", speech_sha256=fingerprint(*speech_files()))


def speech_files(folder: Path = SPEECH) -> tuple[Path, ...]:
    """All files that decide the speech emotion network's output."""
    return (*network_files(folder, "speech"), folder / "speech.safetensors")


def bundled_visual_config() -> VisualEncoderConfig:
    """Faces, read by the bundled expression network."""
    return VisualEncoderConfig(fingerprint(*network_files(EXPRESSION, "expression")))


def _verify(what: str, sha256: str, remedy: str, *files: Path) -> None:
    """Before the files are loaded: they may be damaged."""
    if sha256 != fingerprint(*files):
        raise EncoderError(f"it was trained with another {what} than the one in {files[0].parent}: {remedy}")
