"""`cberl run` on recordings in which there is nothing to hear, and on one of two people at one microphone."""

import struct
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from cberl.types import SAMPLE_RATE
from engine.cli.run import command
from engine.delivery.wire import decode
from engine.events import EmotionEvent
from engine.speech.speaker_embedding import SpeakerEncoderError, load_speaker_encoder
from testing.live_engine import SCRIPT, demo


def recording(path: Path, pcm: np.ndarray, channels: int = 1) -> Path:
    """A WAV file as its header says, be that right or not."""
    data = (pcm * 32_767).astype("<i2").tobytes()
    form = struct.pack("<IHHIIHH", 16, 1, channels, SAMPLE_RATE, 2 * channels * SAMPLE_RATE, 2 * channels, 16)
    chunks = b"WAVEfmt " + form + b"data" + struct.pack("<I", len(data)) + data
    path.write_bytes(b"RIFF" + struct.pack("<I", len(chunks)) + chunks)
    return path


def run(path: Path, *flags: str) -> Result:
    return CliRunner().invoke(command, [str(path), "--whisper-model", "tiny.en", *flags])


@pytest.mark.parametrize("level", [0.0, 0.003], ids=["silence", "noise"])
def test_where_nobody_speaks_it_says_so_and_that_is_no_error(tmp_path: Path, level: float) -> None:
    noise = np.random.default_rng(0).normal(0, level, 5 * SAMPLE_RATE)
    result = run(recording(tmp_path / "night.wav", noise))
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr.splitlines()[1:] == [f"Nobody speaks in {tmp_path / 'night.wav'}, as far as can be heard."]


def test_sound_of_no_channel_is_one_clear_sentence(tmp_path: Path) -> None:
    result = run(recording(tmp_path / "odd.wav", np.zeros(SAMPLE_RATE), channels=0))
    assert (result.exit_code, result.stdout) == (1, "")
    assert "odd.wav says that its sound has 0 channels: it is damaged" in result.stderr.splitlines()[-1]


def test_two_at_one_microphone_are_told_apart_unless_that_is_switched_off(tmp_path: Path) -> None:
    pytest.importorskip("torchaudio")
    try:
        load_speaker_encoder()
    except SpeakerEncoderError as error:
        pytest.skip(str(error))
    path = recording(tmp_path / "room.wav", demo().sum(axis=0)[: round(SCRIPT.turns[3].start_s * SAMPLE_RATE)])
    told = {flag: speakers(run(path, "--diarize", flag)) for flag in ("auto", "off")}
    assert told == {"auto": ["speaker-1", "speaker-2", "speaker-1"], "off": ["speaker-1"] * 3}
    assert speakers(run(path, "--speakers", "maya")) == ["maya"] * 3


def speakers(result: Result) -> list[str]:
    events = [decode(line)[1] for line in result.stdout.splitlines()]
    return [event.speaker for event in events if isinstance(event, EmotionEvent)]
