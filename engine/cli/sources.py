"""The options that say where features come from, beside the text and prosody of a corpus."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from cberl.training.core.training_data import Sources

Command = TypeVar("Command", bound=Callable[..., Any])
_PATH = click.Path(path_type=Path)

speech_emotion = click.option(
    "--speech-emotion",
    "--voices",
    "speech_emotion",
    is_flag=True,
    help="Run the speech emotion network on the corpus's own recordings.",
)
faces = click.option("--faces", is_flag=True, help="Run the expression network on the corpus's own video.")
face_detector = click.option(
    "--face-detector", type=_PATH, help="Face detector: YuNet's ONNX file.  [default: the bundled cascade]"
)


def takes_sources(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds the options, and passes their values as the parameter `sources`."""

    @click.option("--ravdess", type=_PATH, help="Folder of RAVDESS, if the recipe needs speech emotion scores.")
    @click.option("--fer2013", type=_PATH, help="FER2013's .npz, if the recipe needs face scores.")
    @speech_emotion
    @faces
    @face_detector
    @functools.wraps(command)
    def with_sources(
        *,
        ravdess: Path | None,
        fer2013: Path | None,
        speech_emotion: bool,
        faces: bool,
        face_detector: Path | None,
        **rest: Any,
    ) -> None:
        command(sources=Sources(speech_emotion, faces, ravdess, fer2013, face_detector), **rest)

    return with_sources
