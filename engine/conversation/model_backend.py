"""The models that may run elsewhere, each as a function from a batch of requests to as many results. Blocking.

They have no state: that of a conversation travels with each request. VAD and the speaker encoder belong to the engine
itself, because they read every packet, and voices that must not leave memory.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

from cberl.checkpoint_files import STARTER
from cberl.device import resolve_device
from cberl.encoders.audio import AudioEncoder, DescribedAudio
from cberl.encoders.bundle import TEXT_ENCODER, Encoders, load_checkpoint_and_encoders
from cberl.encoders.text import TextInput
from cberl.encoders.visual import Seen, VisualEncoder
from cberl.live_checkpoint import LiveCheckpoint
from cberl.types import Float32
from engine.config import Settings
from engine.conversation.classifier import GraphRequest, GraphResult, run_graph
from engine.media import VideoFrame
from engine.speech.choose import choose_transcriber
from engine.speech.transcriber import Transcript

Req = TypeVar("Req")
Res = TypeVar("Res")
Run = Callable[[list[Req]], list[Res]]


@dataclass(frozen=True, slots=True, eq=False)
class Recogniser:
    """Speech to text. `note`: one line for people, which recogniser and why. `parallel` calls may run at once."""

    transcribe: Run[Float32, Transcript]
    name: str
    note: str
    parallel: int


@dataclass(frozen=True, slots=True, eq=False)
class EncodersAndGraph:
    """`graph_fallback` needs no memory of a GPU. `parallel` calls of each may run at once."""

    encode_text: Run[TextInput, Float32]
    describe_audio: Run[Float32, DescribedAudio]
    describe_visual: Run[tuple[VideoFrame, ...], Seen | None]
    graph: Run[GraphRequest, GraphResult]
    graph_fallback: Run[GraphRequest, GraphResult] | None = None
    parallel: int = 1


def load_configured(settings: Settings) -> tuple[LiveCheckpoint, Encoders]:
    """The checkpoint and encoders that the settings name. Raises `CheckpointError`."""
    return load_checkpoint_and_encoders(
        Path(settings.checkpoint) if settings.checkpoint else STARTER,
        Path(settings.text_encoder) if settings.text_encoder else TEXT_ENCODER,
        resolve_device(settings.device),
        Path(settings.face_detector) if settings.face_detector else None,
    )


@dataclass(frozen=True, slots=True, eq=False)
class ModelBackend:
    """All of them. `model_key`: which checkpoint they belong to (see `saved_state`)."""

    recogniser: Recogniser
    models: EncodersAndGraph
    model_key: str


def load_recogniser(settings: Settings) -> Recogniser:
    """Raises TranscriberError."""
    transcriber, note = choose_transcriber(settings.whisper_model, settings.device, settings.hub_timeout_s)
    return Recogniser(transcriber.transcribe, transcriber.name, note, transcriber.parallel)


def encoders_and_graph(checkpoint: LiveCheckpoint, encoders: Encoders) -> EncodersAndGraph:
    """In this process."""
    return EncodersAndGraph(
        encode_text=encoders.text.encode,
        describe_audio=partial(_describe_audio, encoders.audio),
        describe_visual=partial(_describe_visual, encoders.visual),
        graph=partial(run_graph, checkpoint),
        graph_fallback=partial(run_graph, checkpoint.on_cpu()),
    )


def _describe_audio(encoder: AudioEncoder, turns: list[Float32]) -> list[DescribedAudio]:
    return [encoder.describe(pcm) for pcm in turns]


def _describe_visual(encoder: VisualEncoder, turns: list[tuple[VideoFrame, ...]]) -> list[Seen | None]:
    return [encoder.describe([frame.rgb for frame in frames]) for frames in turns]
