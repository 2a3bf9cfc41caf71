"""The models that all sessions share, each behind its worker: loaded once, warm before the first turn."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from cberl.checkpoint_files import CheckpointError
from cberl.encoders.audio import AudioEncoder, DescribedAudio
from cberl.encoders.text import TextEncoder, TextInput
from cberl.encoders.visual import Seen
from cberl.live_checkpoint import LiveCheckpoint
from cberl.step.state import StepInput, initial_state
from cberl.types import SAMPLE_RATE, Float32
from engine.config import Settings
from engine.conversation.classifier import GraphRequest, GraphResult
from engine.conversation.model_backend import ModelBackend, encoders_and_graph, load_configured, load_recogniser
from engine.conversation.saved_state import model_key
from engine.media import Track, VideoFrame
from engine.runtime.cores import BLAS_THREADS, usable_cores
from engine.runtime.durations import STAGE_S, Durations
from engine.runtime.hangs import Deadline, Hangs
from engine.runtime.upload_share import UploadShare
from engine.runtime.worker import Worker
from engine.speech.speaker_embedding import SpeakerEncoder, SpeakerEncoderError, load_speaker_encoder
from engine.speech.transcriber import Transcript
from engine.speech.vad import SileroVad, VadRequest, VadResult, VadState

TRANSCRIBE_BATCH = 4  # more turns in a batch would delay the first of them
VAD_WAIT_MS = 8.0  # for windows of other tracks: 16 in a batch take a third of the time each


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


@asynccontextmanager
async def open_models(settings: Settings, elsewhere: ModelBackend | None = None) -> AsyncIterator[Models]:
    """Loads, warms and, at the end, releases. The models of `elsewhere` take the place of those of this process.

    Raises `CheckpointError`, `TranscriberError`, `VadError` or `SpeakerEncoderError`.
    """
    checkpoint, encoders = await asyncio.to_thread(load_configured, settings)
    if elsewhere and elsewhere.model_key != model_key(checkpoint):
        raise CheckpointError("the models elsewhere belong to another checkpoint: give both the same --checkpoint")
    recogniser = elsewhere.recogniser if elsewhere else await asyncio.to_thread(load_recogniser, settings)
    run = elsewhere.models if elsewhere else encoders_and_graph(checkpoint, encoders)
    vad = await asyncio.to_thread(SileroVad)
    speakers = await asyncio.to_thread(_speaker_encoder, settings)
    async with AsyncExitStack() as stack:
        stack.enter_context(threadpool_limits(BLAS_THREADS, user_api="blas"))
        hangs = Hangs(settings.max_hung_calls)
        deadline = Deadline(settings.model_timeout_s, hangs)
        essential = replace(deadline, essential=True)
        opened = stack.enter_async_context
        share = UploadShare(max(1, usable_cores() // 2))  # of the slow models
        models = Models(
            checkpoint=checkpoint,
            text_encoder=encoders.text,
            audio_encoder=encoders.audio,
            asr=recogniser.name,
            asr_note=recogniser.note,
            vad=await opened(Worker(vad.run, name="vad", max_batch=64, max_wait_ms=VAD_WAIT_MS, deadline=essential)),
            transcribe=await opened(
                Worker(
                    recogniser.transcribe,
                    name="transcribe",
                    max_batch=TRANSCRIBE_BATCH,
                    threads=recogniser.parallel,
                    deadline=Deadline(settings.transcribe_timeout_s, hangs),
                    upload_share=share,
                )
            ),
            encode_text=await opened(Worker(run.encode_text, name="text", threads=run.parallel, deadline=deadline)),
            describe_audio=await opened(
                Worker(
                    run.describe_audio,
                    name="audio",
                    max_batch=4,
                    threads=run.parallel,
                    deadline=deadline,
                    upload_share=share,
                )
            ),
            describe_visual=await opened(
                Worker(run.describe_visual, name="visual", max_batch=4, threads=run.parallel, deadline=deadline)
            ),
            graph=await opened(
                Worker(
                    run.graph,
                    name="graph",
                    max_batch=64,
                    threads=run.parallel,
                    deadline=essential,
                    fallback=run.graph_fallback,
                )
            ),
            hangs=hangs,
            embed_speaker=await opened(Worker(speakers.embed, name="speaker", deadline=deadline)) if speakers else None,
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
