"""The models that all sessions share, each behind its worker: loaded once, warm before the first turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from cberl.checkpoint_files import STARTER
from cberl.device import resolve_device
from cberl.encoders.audio import AudioEncoder, DescribedAudio
from cberl.encoders.bundle import TEXT_ENCODER, Encoders, load_checkpoint_and_encoders
from cberl.encoders.text import TextEncoder, TextInput
from cberl.encoders.visual import Seen, VisualEncoder
from cberl.live_checkpoint import LiveCheckpoint
from cberl.step.state import StepInput, initial_state
from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.conversation.classifier import GraphRequest, GraphResult, run_graph
from engine.media import Track, VideoFrame
from engine.runtime.durations import STAGE_S, Durations
from engine.runtime.hangs import Deadline, Hangs
from engine.runtime.worker import Worker
from engine.speech.choose import choose_transcriber
from engine.speech.speaker_embedding import SpeakerEncoder, SpeakerEncoderError, load_speaker_encoder
from engine.speech.transcriber import Transcript
from engine.speech.vad import SileroVad, VadRequest, VadResult, VadState

TRANSCRIBE_BATCH = 4  # more turns in a batch would delay the first of them


@dataclass(frozen=True, slots=True, eq=False)
class Models:
    """Workers, and what a session needs to know of the models behind them."""

    checkpoint: LiveCheckpoint
    text_encoder: TextEncoder
    audio_encoder: AudioEncoder
    asr: str
    asr_note: str  # one line for people: which recogniser, and why
    vad: Worker[VadRequest, VadResult]
    transcribe: Worker[Float32, Transcript]
    encode_text: Worker[TextInput, Float32]
    describe_audio: Worker[Float32, DescribedAudio]
    describe_visual: Worker[tuple[VideoFrame, ...], Seen | None]
    graph: Worker[GraphRequest, GraphResult]
    hangs: Hangs
    embed_speaker: Worker[Float32, Float32] | None = None  # where a speaker encoder is installed

    @property
    def workers(self) -> list[Worker[Any, Any]]:
        return [it for it in (getattr(self, field.name) for field in fields(self)) if isinstance(it, Worker)]

    @property
    def looks(self) -> bool:
        """Whether the network reads faces: else nobody need decode pictures."""
        return "visual" in self.checkpoint.config.modality_dims


def load_configured(settings: Settings) -> tuple[LiveCheckpoint, Encoders]:
    """The checkpoint and encoders that the settings name. Raises `CheckpointError`."""
    return load_checkpoint_and_encoders(
        Path(settings.checkpoint) if settings.checkpoint else STARTER,
        Path(settings.text_encoder) if settings.text_encoder else TEXT_ENCODER,
        resolve_device(settings.device),
        Path(settings.face_detector) if settings.face_detector else None,
    )


@asynccontextmanager
async def open_models(settings: Settings) -> AsyncIterator[Models]:
    """Loads, warms and, at the end, releases. Raises `CheckpointError`, `TranscriberError`, `VadError` or
    `SpeakerEncoderError`.
    """
    checkpoint, encoders = await asyncio.to_thread(load_configured, settings)
    transcriber, note = await asyncio.to_thread(
        choose_transcriber, settings.whisper_model, settings.device, settings.hub_timeout_s
    )
    vad = await asyncio.to_thread(SileroVad)
    speakers = await asyncio.to_thread(_speaker_encoder, settings)
    async with AsyncExitStack() as stack:
        # NumPy multiplies small matrices here (log-mel features): more threads gain nothing, and wait for each other by
        # spinning, which took a third of the processor time of a recognition.
        stack.enter_context(threadpool_limits(1, user_api="blas"))
        hangs = Hangs(settings.max_hung_calls)
        deadline = Deadline(settings.model_timeout_s, hangs)
        essential = replace(deadline, essential=True)
        models = Models(
            checkpoint=checkpoint,
            text_encoder=encoders.text,
            audio_encoder=encoders.audio,
            asr=transcriber.name,
            asr_note=note,
            vad=await stack.enter_async_context(Worker(vad.run, name="vad", max_batch=64, deadline=essential)),
            transcribe=await stack.enter_async_context(
                Worker(
                    transcriber.transcribe,
                    name="transcribe",
                    max_batch=TRANSCRIBE_BATCH,
                    threads=transcriber.parallel,
                    deadline=Deadline(settings.transcribe_timeout_s, hangs),
                )
            ),
            encode_text=await stack.enter_async_context(Worker(encoders.text.encode, name="text", deadline=deadline)),
            describe_audio=await stack.enter_async_context(
                Worker(partial(_describe_all, encoders.audio), name="audio", max_batch=4, deadline=deadline)
            ),
            describe_visual=await stack.enter_async_context(
                Worker(partial(_see_all, encoders.visual), name="visual", max_batch=4, deadline=deadline)
            ),
            graph=await stack.enter_async_context(
                Worker(
                    partial(run_graph, checkpoint),
                    name="graph",
                    max_batch=64,
                    deadline=essential,
                    fallback=partial(run_graph, checkpoint.on_cpu()),
                )
            ),
            hangs=hangs,
            embed_speaker=await stack.enter_async_context(Worker(speakers.embed, name="speaker", deadline=deadline))
            if speakers
            else None,
        )
        await _warm(models)
        for worker in models.workers:
            worker.durations = Durations(STAGE_S)  # without the first calls
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


def _see_all(encoder: VisualEncoder, turns: list[tuple[VideoFrame, ...]]) -> list[Seen | None]:
    return [encoder.describe([frame.rgb for frame in frames]) for frames in turns]


def _describe_all(encoder: AudioEncoder, turns: list[Float32]) -> list[DescribedAudio]:
    return [encoder.describe(pcm) for pcm in turns]


async def _warm(models: Models) -> None:
    """First calls allocate and compile; no turn should pay for that."""
    second = np.random.default_rng(0).normal(0, 1e-3, SAMPLE_RATE).astype(np.float32)
    await models.vad(VadRequest(VadState(), second[:512].reshape(1, 512)))
    await models.transcribe(second)
    await models.describe_audio(second)
    await models.describe_visual((VideoFrame(Track("a", "a"), 0.0, np.zeros((360, 640, 3), np.uint8)),))
    vector = await models.encode_text(models.text_encoder.prompt.build((), "a", "hello there"))
    state = initial_state(models.checkpoint.config)
    await models.graph(GraphRequest(state, StepInput("a", {"text": vector})))
