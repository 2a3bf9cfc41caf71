"""The name of this machine's microphone for FFmpeg, and the folders of its audio libraries."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

MICROPHONE = "mic"
DEVICES = {"linux": ("default", "alsa"), "darwin": (":default", "avfoundation")}

# The libasound in PyAV's wheel searches the paths of the machine where the wheel was built.
ALSA_FOLDERS = {
    "ALSA_CONFIG_DIR": ("usr/share/alsa",),
    "ALSA_PLUGIN_DIR": ("usr/lib/*/alsa-lib", "usr/lib64/alsa-lib", "usr/lib/alsa-lib"),
}

ADVICE = {
    "alsa": "connect one, and check that `arecord -d 1 test.wav` works (package alsa-utils; with PulseAudio or "
    "PipeWire also libasound2-plugins)",
    "avfoundation": "allow this terminal the microphone in System Settings, Privacy & Security",
}


def microphone() -> tuple[str, str | None]:
    """(address, FFmpeg's name for this kind of device). Sets the environment variables of the audio libraries."""
    address, kind = DEVICES.get(sys.platform, ("default", None))
    if kind == "alsa":
        for variable, folders in ALSA_FOLDERS.items():
            if found := next(_existing(folders), None):
                os.environ.setdefault(variable, str(found))
    return address, kind


def advice(problem: str) -> str:
    """What to do where the microphone cannot be opened, in one sentence."""
    kind = DEVICES.get(sys.platform, ("", None))[1]
    hint = ADVICE.get(kind or "", "publish from the page /call of `cberl serve` instead")
    return f"The microphone cannot be opened ({problem}): {hint}."


def _existing(folders: tuple[str, ...]) -> Iterator[Path]:
    for folder in folders:
        yield from sorted(Path("/").glob(folder))
