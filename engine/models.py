"""The models that all sessions share, each behind its worker: loaded once, warm before the first turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch

from cberl.checkpoint import STARTER, WEIGHTS, Checkpoint, CheckpointError, load_checkpoint
from cberl.data.features import fingerprint
from cberl.encoders.audio import AudioEncoder, AudioEncoderConfig
from cberl.encoders.text import TextEncoder, TextHistory, TextInput, encoder_files
from cberl.encoders.visual import NoVisual, VisualEncoder
from cberl.streaming import StepInput, initial_state
from engine.config import Settings
from engine.infer import GraphRequest, GraphResult, run_graph
from engine.messages import SAMPLE_RATE, Float32, Transcript, VideoFrame
from engine.transcribe import Transcriber
from engine.transcribe.choose import choose_transcriber
from engine.turns.vad import SileroVad, VadRequest, VadResult, VadState
from engine.worker import Worker


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """Workers, and what a session needs to know of the models behind them."""

    checkpoint: Checkpoint
    text_encoder: TextEncoder
    audio_config: AudioEncoderConfig
    asr: str
    asr_note: str  # one line for people when the recogniser is not the one they would expect
    vad: Worker[VadRequest, VadResult]
    transcribe: Worker[Float32, Transcript]
    encode_text: Worker[TextInput, Float32]
    describe_audio: Worker[Float32, Float32]
    describe_visual: Worker[tuple[VideoFrame, ...], Float32 | None]
    graph: Worker[GraphRequest, GraphResult]


def resolve_device(wanted: str) -> str:
    """`auto` is a GPU where there is one. Raises `CheckpointError` for a GPU that is not there."""
    if wanted == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if wanted == "cuda" and not torch.cuda.is_available():
        raise CheckpointError("device cuda was asked for, but PyTorch sees no GPU here: use --device auto or cpu")
    return wanted


def load_starter(settings: Settings) -> tuple[Checkpoint, TextEncoder, AudioEncoderConfig]:
    """The checkpoint and the encoders that it was trained with. Raises `CheckpointError`."""
    folder = Path(settings.checkpoint) if settings.checkpoint else STARTER
    checkpoint = load_checkpoint(folder, resolve_device(settings.device))
    try:
        wanted = checkpoint.encoders["text"]["sha256"]
        audio_config = AudioEncoderConfig(**checkpoint.encoders["audio"])
        files = encoder_files(WEIGHTS / "text")
    except (KeyError, TypeError, ValueError) as error:
        raise CheckpointError(f"{folder} does not say how its input was encoded ({error}): train it again") from error
    except FileNotFoundError as error:
        raise CheckpointError(f"{error}; reinstall cberl-engine") from error
    if wanted != fingerprint(*files):  # before it is loaded: it may be damaged
        raise CheckpointError(
            f"{folder} was trained with another text encoder than the installed one: "
            "train it again with `cberl train`, or install the version of cberl-engine that it came with"
        )
    return checkpoint, TextEncoder(WEIGHTS / "text"), audio_config


@asynccontextmanager
async def open_models(settings: Settings) -> AsyncIterator[Models]:
    """Loads, warms and, at the end, releases. Raises `CheckpointError`, `TranscriberError` or `VadError`."""
    checkpoint, text_encoder, audio_config = await asyncio.to_thread(load_starter, settings)
    transcriber, note = await asyncio.to_thread(
        choose_transcriber, settings.asr, settings.whisper_model, settings.hub_timeout_s
    )
    vad = await asyncio.to_thread(SileroVad)
    audio_encoder = AudioEncoder(audio_config)
    async with AsyncExitStack() as stack:
        models = Models(
            checkpoint=checkpoint,
            text_encoder=text_encoder,
            audio_config=audio_config,
            asr=transcriber.name,
            asr_note=note,
            vad=await stack.enter_async_context(Worker(vad.run, name="vad", max_batch=64)),
            transcribe=await stack.enter_async_context(_transcribe_worker(transcriber)),
            encode_text=await stack.enter_async_context(Worker(text_encoder.encode, name="text")),
            describe_audio=await stack.enter_async_context(
                Worker(partial(_describe_all, audio_encoder), name="audio", max_batch=4)
            ),
            describe_visual=await stack.enter_async_context(
                Worker(partial(_see_all, NoVisual()), name="visual", max_batch=4)
            ),
            graph=await stack.enter_async_context(Worker(partial(run_graph, checkpoint), name="graph", max_batch=64)),
        )
        await _warm(models)
        yield models


def _transcribe_worker(transcriber: Transcriber) -> Worker[Float32, Transcript]:
    return Worker(transcriber.transcribe, name="transcribe", max_batch=1, kind=transcriber.kind)


def _see_all(encoder: VisualEncoder, turns: list[tuple[VideoFrame, ...]]) -> list[Float32 | None]:
    return [encoder.describe([frame.rgb for frame in frames]) for frames in turns]


def _describe_all(encoder: AudioEncoder, turns: list[Float32]) -> list[Float32]:
    return [encoder.describe(pcm) for pcm in turns]


async def _warm(models: Models) -> None:
    """First calls allocate and compile; no turn should pay for that."""
    second = np.random.default_rng(0).normal(0, 1e-3, SAMPLE_RATE).astype(np.float32)
    await models.vad(VadRequest(VadState(), second[:512].reshape(1, 512)))
    await models.transcribe(second)
    await models.describe_audio(second)
    vector = await models.encode_text(TextHistory(models.text_encoder.prompt).peek("a", "hello there"))
    state = initial_state(models.checkpoint.model)
    await models.graph(GraphRequest(state, StepInput("a", {"text": torch.from_numpy(vector)})))
