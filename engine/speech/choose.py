"""Which Whisper model: the one that was asked for, else one that suits the machine, else the bundled one."""

import os
from collections.abc import Callable
from pathlib import Path

from engine.speech.transcriber import TranscriberError
from engine.speech.whisper import TURN_S, WhisperTranscriber
from engine.speech.whisper_store import BUNDLED, INSTALL_BUNDLE, bundled, is_path, pull, verify_bundled

GPU_MODEL = "large-v3-turbo"
# Best last, with its cost beside that of the bundled model (ratio of the encoders' parameters).
CPU_MODELS = {"base.en": 2.7, "small": 12.0}
READY_S = 0.27  # a turn is recognised between its provisional and its earliest final end, with default settings

Open = Callable[[Path], WhisperTranscriber]


def choose_transcriber(model: str, device: str = "auto", timeout_s: float = 3.0) -> tuple[WhisperTranscriber, str]:
    """A recogniser, and one line that says which model it is and why. Blocking; may download a model.

    `model` is a folder, a size such as "base.en", a hub id, or "" for one that suits the machine. `device`: auto, cpu
    or cuda. An unreachable hub is given up after `timeout_s`. Raises TranscriberError.
    """
    device = _resolved(device)

    def load(folder: Path) -> WhisperTranscriber:
        return WhisperTranscriber(folder, device=device)

    if model:
        return load(folder_of(model, timeout_s)), f"Speech to text: Whisper {model}, as configured."
    return _suited(load, timeout_s, device)


def _resolved(device: str) -> str:
    import ctranslate2  # slow to import

    gpus = ctranslate2.get_cuda_device_count()
    if device == "cuda" and not gpus:
        raise TranscriberError("device cuda was asked for, but CTranslate2 sees no GPU here: use --device auto or cpu")
    return "cuda" if gpus and device != "cpu" else "cpu"


def folder_of(model: str, timeout_s: float) -> Path:
    """The folder of a configured model; downloads it where necessary. Raises TranscriberError."""
    if is_path(model):
        folder = Path(os.path.expanduser(model))  # unchanged where there is no such user
        if not folder.is_dir():
            raise TranscriberError(f"there is no folder {model} with a Whisper model")
        return folder
    if model == BUNDLED and (bundle := bundled()):
        verify_bundled(bundle)
        return bundle
    try:
        return pull(model, timeout_s)
    except TranscriberError as error:
        raise TranscriberError(f"there is no folder {model}, and {error}" if os.sep in model else str(error)) from error


def _suited(load: Open, timeout_s: float, device: str) -> tuple[WhisperTranscriber, str]:
    folder = bundled()
    if folder is None:
        wanted = GPU_MODEL if device == "cuda" else next(iter(CPU_MODELS))
        try:
            return load(pull(wanted, timeout_s)), f"Speech to text: Whisper {wanted}; no model is bundled."
        except TranscriberError as error:
            raise TranscriberError(
                f"there is no speech recogniser: {error}; install the bundled one ({INSTALL_BUNDLE}) "
                "or give a folder with --whisper-model"
            ) from error
    verify_bundled(folder)
    small = load(folder)
    if device == "cuda":
        return _better(small, GPU_MODEL, "there is a GPU", load, timeout_s)
    turn_s = small.time_turn()
    affordable = [name for name, cost in CPU_MODELS.items() if turn_s * cost <= READY_S]
    if affordable:
        reason = f"this CPU has time for it: {BUNDLED} takes {turn_s:.2f} s for a turn of {TURN_S:g} s"
        return _better(small, affordable[-1], reason, load, timeout_s)
    next_name, cost = next(iter(CPU_MODELS.items()))
    return small, (
        f"Speech to text: Whisper {BUNDLED} (bundled), because a turn of {TURN_S:g} s takes {turn_s:.2f} s here; "
        f"{next_name} would take about {turn_s * cost:.1f} s, longer than the {READY_S:g} s until a turn ends."
    )


def _better(
    small: WhisperTranscriber, name: str, reason: str, load: Open, timeout_s: float
) -> tuple[WhisperTranscriber, str]:
    """The model `name` where it can be had, else the bundled one."""
    try:
        return load(pull(name, timeout_s)), f"Speech to text: Whisper {name}, because {reason}."
    except TranscriberError as error:
        return small, f"Speech to text: Whisper {BUNDLED} (bundled). {name} suits this machine better, but {error}."
