"""The call page in a browser that reads microphone and camera from files."""

import wave
from pathlib import Path

import cv2
import numpy as np
from playwright.async_api import Page

from cberl.types import SAMPLE_RATE, Float32


def capture_devices(
    folder: Path, speech: Float32, colour: tuple[int, int, int], size: tuple[int, int] = (320, 240)
) -> list[str]:
    """Chromium's flags for a microphone that plays `speech` once and a camera that shows one colour."""
    with wave.open(str(folder / "voice.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(SAMPLE_RATE)
        file.writeframes((np.clip(speech, -1, 1) * 32_767).astype("<i2").tobytes())
    picture = np.full((size[1], size[0], 3), colour, np.uint8)
    (folder / "camera.mjpeg").write_bytes(cv2.imencode(".jpg", picture)[1].tobytes() * 2)
    return [
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={folder / 'voice.wav'}%noloop",
        f"--use-file-for-fake-video-capture={folder / 'camera.mjpeg'}",
    ]


async def join(page: Page, url: str, name: str, analyse: str = "all") -> None:
    await page.goto(f"{url}/call?conversation=talk&name={name}")
    await page.check(f"[name=analyse][value={analyse}]")
    await page.click("#enter:enabled")
    await page.wait_for_selector("#status[data-kind=live]")
