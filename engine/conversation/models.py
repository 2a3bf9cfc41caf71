"""The models that all sessions share, each behind its worker: loaded once, warm before the first turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from cberl.checkpoint import STARTER, WEIGHTS, Checkpoint, CheckpointError, load_checkpoint
from cberl.data.features import fingerprint
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import CascadeDetector
from cberl.encoders.onnx import network_files
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.encoders.text import TextEncoder, TextHistory, TextInput, encoder_files
from cberl.encoders.visual import FaceVisual, NoVisual, Seen, VisualEncoder, VisualEncoderConfig
from cberl.streaming import StepInput, initial_state
from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.conversation.classifier import GraphRequest, GraphResult, run_graph
from engine.media import Track, VideoFrame
from engine.runtime.worker import Worker
from engine.speech.choose import choose_transcriber
from engine.speech.speaker_embedding import SpeakerEncoder, SpeakerEncoderError, load_speaker_encoder
from engine.speech.transcriber import Transcriber, Transcript
from engine.speech.vad import SileroVad, VadRequest, VadResult, VadState


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """Workers, and what a session needs to know of the models behind them."""

    checkpoint: Checkpoint
    text_encoder: TextEncoder
    audio_config: AudioEncoderConfig
    asr: str
    asr_note: str  # one line for people when the recogniser is not the one they would expect
    vad: Worker[VadRequest, VadResult]
    transcribe: Worker[Any, Transcript]  # of a clip, or of a `Beginning` where the recogniser follows
    encode_text: Worker[TextInput, Float32]
    describe_audio: Worker[Float32, Float32]
    describe_visual: Worker[tuple[VideoFrame, ...], Seen | None]
    graph: Worker[GraphRequest, GraphResult]
    embed_speaker: Worker[Float32, Float32] | None = None  # where a speaker encoder is installed

    @property
    def looks(self) -> bool:
        """Whether the network reads faces: else nobody need decode pictures."""
        return "visual" in self.checkpoint.model.config.modality_dims


def resolve_device(wanted: str) -> str:
    """`auto` is a GPU where there is one. Raises `CheckpointError` for a GPU that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("device cuda was asked for, but PyTorch sees no GPU here: use --device auto or cpu")
    return wanted


@dataclass(frozen=True, slots=True, eq=False)
class Encoders:
    """What a checkpoint was trained with."""

    text: TextEncoder
    audio: AudioEncoder
    visual: VisualEncoder


def load_checkpoint_and_encoders(settings: Settings) -> tuple[Checkpoint, Encoders]:
    """The checkpoint and the encoders that it was trained with. Raises `CheckpointError`."""
    folder = Path(settings.checkpoint) if settings.checkpoint else STARTER
    text = Path(settings.text_encoder) if settings.text_encoder else WEIGHTS / "text"
    checkpoint = load_checkpoint(folder, resolve_device(settings.device))
    try:
        wanted = checkpoint.encoders["text"]["sha256"]
        audio = AudioEncoderConfig(**checkpoint.encoders["audio"])
        seen_by = checkpoint.encoders.get("visual")
        visual = VisualEncoderConfig(**seen_by) if seen_by else None
        files = encoder_files(text)
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder} does not say how its input was encoded ({error}): train it again") from error
    except FileNotFoundError as error:
        remedy = (
            "give the folder that `cberl finetune-text` wrote" if settings.text_encoder else "reinstall cberl-engine"
        )
        raise CheckpointError(f"{error}; {remedy}") from error
    _require_same(folder, "text encoder", wanted, *files)  # before it is loaded: it may be damaged
    return checkpoint, Encoders(TextEncoder(text), _ears(folder, audio), _eyes(folder, visual))


def _ears(checkpoint: Path, config: AudioEncoderConfig) -> AudioEncoder:
    if config.features != "prosody+speech":
        return AudioEncoder(config)
    folder = WEIGHTS / "speech"
    _require_same(checkpoint, "speech network", config.speech_sha256, *network_files(folder, "speech"))
    return AudioEncoder(config, SpeechEncoder(folder))


def _eyes(checkpoint: Path, config: VisualEncoderConfig | None) -> VisualEncoder:
    if config is None:
        return NoVisual()
    folder = WEIGHTS / "expression"
    _require_same(checkpoint, "expression network", config.expression_sha256, *network_files(folder, "expression"))
    return FaceVisual(CascadeDetector(), ExpressionEncoder(folder), config)


def _require_same(checkpoint: Path, what: str, sha256: str, *files: Path) -> None:
    if sha256 != fingerprint(*files):
        own = "give its folder as --text-encoder, " if what == "text encoder" else ""
        raise CheckpointError(
            f"{checkpoint} was trained with another {what} than the one in {files[0].parent}: {own}"
            "train it again with `cberl train`, or install the version of cberl-engine that it came with"
        )


@asynccontextmanager
async def open_models(settings: Settings) -> AsyncIterator[Models]:
    """Loads, warms and, at the end, releases. Raises `CheckpointError`, `TranscriberError`, `VadError` or
    `SpeakerEncoderError`.
    """
    checkpoint, encoders = await asyncio.to_thread(load_checkpoint_and_encoders, settings)
    transcriber, note = await asyncio.to_thread(
        choose_transcriber, settings.asr, settings.whisper_model, settings.hub_timeout_s
    )
    vad = await asyncio.to_thread(SileroVad)
    speakers = await asyncio.to_thread(_speaker_encoder, settings)
    async with AsyncExitStack() as stack:
        models = Models(
            checkpoint=checkpoint,
            text_encoder=encoders.text,
            audio_config=encoders.audio.config,
            asr=transcriber.name,
            asr_note=note,
            vad=await stack.enter_async_context(Worker(vad.run, name="vad", max_batch=64)),
            transcribe=await stack.enter_async_context(_transcribe_worker(transcriber)),
            encode_text=await stack.enter_async_context(Worker(encoders.text.encode, name="text")),
            describe_audio=await stack.enter_async_context(
                Worker(partial(_describe_all, encoders.audio), name="audio", max_batch=4)
            ),
            describe_visual=await stack.enter_async_context(
                Worker(partial(_see_all, encoders.visual), name="visual", max_batch=4)
            ),
            graph=await stack.enter_async_context(Worker(partial(run_graph, checkpoint), name="graph", max_batch=64)),
            embed_speaker=await stack.enter_async_context(Worker(speakers.embed, name="speaker")) if speakers else None,
        )
        await _warm(models)
        yield models


def _speaker_encoder(settings: Settings) -> SpeakerEncoder | None:
    """Needed where it was asked for; else used where it is there."""
    if settings.diarize == "off":
        return None
    try:
        return load_speaker_encoder(settings.speaker_model)
    except SpeakerEncoderError:
        if settings.diarize == "on" or settings.speaker_model:
            raise
        return None


def _transcribe_worker(transcriber: Transcriber) -> Worker[Any, Transcript]:
    return Worker(transcriber.transcribe, name="transcribe", max_batch=1, kind=transcriber.kind)


def _see_all(encoder: VisualEncoder, turns: list[tuple[VideoFrame, ...]]) -> list[Seen | None]:
    return [encoder.describe([frame.rgb for frame in frames]) for frames in turns]


def _describe_all(encoder: AudioEncoder, turns: list[Float32]) -> list[Float32]:
    return [encoder.describe(pcm) for pcm in turns]


async def _warm(models: Models) -> None:
    """First calls allocate and compile; no turn should pay for that."""
    second = np.random.default_rng(0).normal(0, 1e-3, SAMPLE_RATE).astype(np.float32)
    await models.vad(VadRequest(VadState(), second[:512].reshape(1, 512)))
    await models.transcribe(second)
    await models.describe_audio(second)
    await models.describe_visual((VideoFrame(Track("a", "a"), 0.0, np.zeros((360, 640, 3), np.uint8)),))
    vector = await models.encode_text(TextHistory(models.text_encoder.prompt).peek("a", "hello there"))
    state = initial_state(models.checkpoint.model)
    await models.graph(GraphRequest(state, StepInput("a", {"text": torch.from_numpy(vector)})))
