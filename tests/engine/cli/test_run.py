"""`cberl run` as a process: on recordings without speech, and on one of two people at one microphone."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from cberl.types import SAMPLE_RATE
from engine.delivery.wire import decode
from engine.events import EmotionEvent
from engine.speech.speaker_embedding import SpeakerEncoderError, load_speaker_encoder
from testing.live_engine import SCRIPT, demo
from testing.odd_media import write_streams


def recording(path: Path, pcm: np.ndarray, channels: int = 1) -> Path:
    """A WAV file whose header may be wrong on purpose."""
    data = (pcm * 32_767).astype("<i2").tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, channels, SAMPLE_RATE, 2 * channels * SAMPLE_RATE, 2 * channels, 16)
    chunks = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    return path


def run(path: Path, *flags: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", "from engine.cli import main; main()", "run", str(path)]
    return subprocess.run([*command, "--whisper-model", "tiny.en", *flags], capture_output=True, text=True, check=False)


@pytest.mark.parametrize("level", [0.0, 0.003], ids=["silence", "noise"])
def test_a_recording_without_speech_is_reported_and_no_error(tmp_path: Path, level: float) -> None:
    noise = np.random.default_rng(0).normal(0, level, 5 * SAMPLE_RATE)
    result = run(recording(tmp_path / "night.wav", noise))
    assert (result.returncode, result.stdout) == (0, "")
    assert result.stderr.splitlines()[-1] == f"No speech was detected in {tmp_path / 'night.wav'}."


def test_a_file_with_no_channels_is_one_sentence(tmp_path: Path) -> None:
    result = run(recording(tmp_path / "odd.wav", np.zeros(SAMPLE_RATE), channels=0))
    assert (result.returncode, result.stdout) == (1, "")
    assert "odd.wav says that its audio has 0 channels: it is damaged" in result.stderr.splitlines()[-1]


def test_turns_before_the_damage_of_a_recording_are_published_and_then_it_is_an_error(tmp_path: Path) -> None:
    """Two turns, then a chained Ogg's second link, which FFmpeg cannot read since it has another number of channels."""
    speech = demo().sum(axis=0)[: round(SCRIPT.turns[2].start_s * SAMPLE_RATE)]
    path = tmp_path / "talk.ogg"
    links = [(1, "mono"), (2, "stereo")]
    path.write_bytes(b"".join(_ogg(path, np.repeat(speech[None], channels, axis=0), name) for channels, name in links))
    result = run(path, "--diarize", "off")
    assert len(speakers(result)) == 2
    assert result.returncode == 1
    assert "talk.ogg could be read only up to" in result.stderr.splitlines()[-1]


def test_two_people_at_one_microphone_are_distinguished_unless_diarize_is_off(tmp_path: Path) -> None:
    pytest.importorskip("torchaudio")
    try:
        load_speaker_encoder()
    except SpeakerEncoderError as error:
        pytest.skip(str(error))
    path = recording(tmp_path / "room.wav", demo().sum(axis=0)[: round(SCRIPT.turns[3].start_s * SAMPLE_RATE)])
    found = {flag: speakers(run(path, "--diarize", flag)) for flag in ("auto", "off")}
    assert found == {"auto": ["speaker-1", "speaker-2", "speaker-1"], "off": ["speaker-1"] * 3}
    assert speakers(run(path, "--speakers", "maya")) == ["maya"] * 3


def speakers(result: subprocess.CompletedProcess[str]) -> list[str]:
    events = [decode(line)[1] for line in result.stdout.splitlines()]
    return [event.speaker for event in events if isinstance(event, EmotionEvent)]


def _ogg(path: Path, pcm: np.ndarray, layout: str) -> bytes:
    """float32[channels, n] as Opus"""
    return write_streams(path, "libopus", [(0.0, pcm)], rate=SAMPLE_RATE, layout=layout, form="flt").read_bytes()
