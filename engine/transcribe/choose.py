"""Which recogniser: faster-whisper where its model can be had, else pocketsphinx, and a line that says so."""

import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Literal

from engine.transcribe import Transcriber, TranscriberError
from engine.transcribe.sphinx import SphinxTranscriber
from engine.transcribe.whisper import WhisperTranscriber


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
        reason = _hub_out_of_reach(timeout_s)
        if reason:
            raise TranscriberError(
                f"the Whisper model {model!r} is neither a directory nor in the local cache, and {reason}"
            ) from None
        return WhisperTranscriber(model)


def _hub_out_of_reach(timeout_s: float) -> str | None:
    """Why nothing can be downloaded, or None. Never takes longer than `timeout_s`."""
    from huggingface_hub import constants

    if constants.HF_HUB_OFFLINE:
        return "HF_HUB_OFFLINE forbids to download it"
    failure = [f"the model hub {constants.ENDPOINT} did not answer within {timeout_s:g} s"]

    def probe() -> None:
        try:
            urllib.request.urlopen(urllib.request.Request(constants.ENDPOINT, method="HEAD"), timeout=timeout_s).close()
            failure.clear()
        except urllib.error.HTTPError:
            failure.clear()  # it answered, whatever it thinks of HEAD
        except OSError as error:
            failure[0] = f"the model hub {constants.ENDPOINT} cannot be reached ({error})"

    # A thread, because looking up a name has no timeout of its own; a daemon, so that it holds up nobody.
    thread = threading.Thread(target=probe, name="hub probe", daemon=True)
    thread.start()
    thread.join(timeout_s)
    return failure[0] if failure else None
