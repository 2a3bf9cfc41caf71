"""Which recogniser: faster-whisper where its model can be had, else pocketsphinx, and a line that says so."""

from pathlib import Path
from typing import Literal

from cberl.hub import out_of_reach
from engine.speech.sphinx import SphinxTranscriber
from engine.speech.transcriber import Transcriber, TranscriberError
from engine.speech.whisper import WhisperTranscriber


def choose_transcriber(
    asr: Literal["auto", "whisper", "sphinx"], whisper_model: str, timeout_s: float = 3.0
) -> tuple[Transcriber, str]:
    """A recogniser and a line for people on which one it is and why. Blocking; may download a model.

    `whisper_model` is a directory, a size such as "base.en", or a hub id. Without a network this fails within
    `timeout_s`. Raises TranscriberError when "whisper" is asked for and cannot be had.
    """
    if asr == "sphinx":
        return SphinxTranscriber(), "Speech to text: pocketsphinx (English), as asked."
    try:
        return _whisper(whisper_model, timeout_s), f"Speech to text: faster-whisper, model {whisper_model}."
    except TranscriberError as error:
        if asr == "whisper":
            raise
        return SphinxTranscriber(), f"Speech to text: pocketsphinx (English, offline), because {error}."


def _whisper(model: str, timeout_s: float) -> WhisperTranscriber:
    if Path(model).is_dir():
        return WhisperTranscriber(model)
    try:
        return WhisperTranscriber(model, local_files_only=True)
    except TranscriberError:
        # Not in the local cache: worth a download, if the hub is there at all.
        reason = out_of_reach(timeout_s)
        if reason:
            raise TranscriberError(
                f"the Whisper model {model!r} is neither a directory nor in the local cache, and {reason}"
            ) from None
        return WhisperTranscriber(model)
