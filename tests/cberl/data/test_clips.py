"""Encoding clips: once, in parallel, after kills and with broken files."""

import os
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from cberl.data.clips import encode_clips
from cberl.data.dialogue import Clip, DataError, Dialogue, Line
from cberl.encoders.prosody import prosody
from cberl.types import SAMPLE_RATE
from testing.ray_cluster import needs_ray
from testing.recordings import audio_clip_encoder, read_fatal, tone, write_wav

CALLS: list[int] = []


def loudness(pcm: np.ndarray) -> np.ndarray:
    CALLS.append(len(pcm))
    return np.array([len(pcm) / SAMPLE_RATE, np.abs(pcm).max(), np.nan], dtype=np.float32)


def dialogue(*clips: Clip | None) -> Dialogue:
    return Dialogue("d", tuple(Line("a", "hi", 0, float(i), i + 1.0, clip=clip) for i, clip in enumerate(clips)))


def test_each_clip_is_encoded_once_and_problems_are_reported(tmp_path: Path) -> None:
    long = write_wav(tmp_path / "long.wav", tone(200, 3)[None])
    short = write_wav(tmp_path / "short.wav", tone(300, 1)[None])
    (tmp_path / "broken.mp4").write_bytes(b"\0\0\0\x18ftypmp42" + bytes(50))
    spoken = dialogue(
        Clip(long, 0.0, 1.0),
        Clip(long, 0.5, 2.5),
        Clip(short),
        None,
        Clip(tmp_path / "broken.mp4"),
        Clip(tmp_path / "nowhere.mp4"),
        Clip(long, 10.0, 11.0),
    )
    CALLS.clear()
    ((encoded,), problems) = encode_clips([spoken], audio_clip_encoder(loudness, "loudness"), tmp_path / "cache")
    lengths = [None if line.prosody is None else round(float(line.prosody[0]), 2) for line in encoded.lines]
    assert lengths == [1.0, 2.0, 1.0, None, None, None, None]
    assert np.isnan(encoded.lines[0].prosody[2])
    assert len(problems) == 3
    for name, text in (("nowhere", "is missing"), ("broken", "cannot be read"), ("long", "between 10 s and 11 s")):
        assert any(name in problem and text in problem for problem in problems)
    assert len(CALLS) == 3

    ((again,), _) = encode_clips([spoken], audio_clip_encoder(loudness, "loudness"), tmp_path / "cache")
    assert len(CALLS) == 3  # all from the journal
    np.testing.assert_array_equal(again.lines[1].prosody, encoded.lines[1].prosody)
    write_wav(short, tone(300, 2)[None])
    ((changed,), _) = encode_clips([spoken], audio_clip_encoder(loudness, "loudness"), tmp_path / "cache")
    assert changed.lines[2].prosody[0] == pytest.approx(2.0)
    encode_clips([spoken], audio_clip_encoder(loudness, "another encoder"), tmp_path / "cache")
    assert len(CALLS) == 7


def test_a_journal_line_that_was_cut_short_is_ignored(tmp_path: Path) -> None:
    spoken = dialogue(*(Clip(write_wav(tmp_path / f"{i}.wav", tone(200, 0.2)[None])) for i in range(3)))
    encode_clips([spoken], audio_clip_encoder(loudness, "x"), tmp_path / "cache")
    (journal,) = (tmp_path / "cache").glob("*.jsonl")
    journal.write_bytes(journal.read_bytes()[:-20])
    CALLS.clear()
    for expected in (1, 1):  # the lost clip is encoded again, and kept this time
        ((encoded,), _) = encode_clips([spoken], audio_clip_encoder(loudness, "x"), tmp_path / "cache")
        assert all(line.prosody is not None for line in encoded.lines)
        assert len(CALLS) == expected


def test_two_processes_give_the_results_of_one(tmp_path: Path) -> None:
    spoken = dialogue(*(Clip(write_wav(tmp_path / f"{i}.wav", tone(150 + 20 * i, 0.5)[None])) for i in range(6)))
    done: list[int] = []
    ((alone,), _) = encode_clips([spoken], audio_clip_encoder(prosody, "p"), tmp_path / "a")
    ((together,), _) = encode_clips(
        [spoken], audio_clip_encoder(prosody, "p"), tmp_path / "b", processes=2, advance=done.append
    )
    for one, other in zip(alone.lines, together.lines, strict=True):
        np.testing.assert_array_equal(one.prosody, other.prosody)
    assert sum(done) == 6


@pytest.mark.filterwarnings("ignore:::ray")
@pytest.mark.parametrize("on_ray", [False, pytest.param(True, marks=needs_ray)])
def test_a_clip_that_ends_its_process_or_raises_is_named_and_the_others_are_encoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, on_ray: bool
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[3]))  # for workers of Ray, which import `testing`
    names = ["a", "b", "fatal", "c", "odd", "d", "e"]
    spoken = dialogue(*(Clip(write_wav(tmp_path / f"{name}.wav", tone(200, 0.3)[None])) for name in names))
    encoder = replace(audio_clip_encoder(prosody, "p"), read=read_fatal)
    done: list[int] = []
    ((encoded,), problems) = encode_clips(
        [spoken], encoder, tmp_path / "cache", processes=2, on_ray=on_ray, advance=done.append
    )
    assert [line.prosody is None for line in encoded.lines] == [name in ("fatal", "odd") for name in names]
    assert sorted(problems) == [
        f"{tmp_path / 'fatal.wav'} cannot be read: it ends the process that reads it",
        f"{tmp_path / 'odd.wav'} cannot be read: AttributeError: 'NoneType' object has no attribute 'channels'",
    ]
    assert sum(done) == len(names)


def test_processes_that_die_whatever_they_read_are_one_sentence(tmp_path: Path) -> None:
    files = [write_wav(tmp_path / f"{i}" / "fatal.wav", tone(200, 0.3)[None]) for i in range(4)]
    encoder = replace(audio_clip_encoder(prosody, "p"), read=read_fatal)
    with pytest.raises(DataError, match="the processes that encode clips die"):
        encode_clips([dialogue(*map(Clip, files))], encoder, tmp_path / "cache", processes=2)


KILLED = """
import sys
from pathlib import Path
from tests.cberl.data.test_clips import dialogue
from cberl.data.clips import encode_clips
from cberl.data.dialogue import Clip
from cberl.encoders.prosody import prosody
from testing.recordings import audio_clip_encoder

if __name__ == "__main__":
    folder = Path(sys.argv[1])
    spoken = dialogue(*(Clip(path) for path in sorted(folder.glob("*.wav"))))
    encoder = audio_clip_encoder(prosody, "p")
    encode_clips([spoken], encoder, folder / "cache", processes=2, advance=lambda n: print(n, flush=True))
"""


@pytest.mark.skipif(sys.platform == "win32", reason="SIGKILL")
def test_a_run_continues_after_a_kill(tmp_path: Path) -> None:
    for i in range(24):
        write_wav(tmp_path / f"{i:02}.wav", tone(200, 2)[None])
    (tmp_path / "run.py").write_text(KILLED)
    command = [sys.executable, str(tmp_path / "run.py"), str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(4):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    (journal,) = (tmp_path / "cache").glob("*.jsonl")
    kept = journal.read_text().count("}\n")
    assert 3 <= kept < 24
    finished = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True)
    assert int(finished.stdout.split()[0]) == kept  # reported as done at once
    assert sum(map(int, finished.stdout.split())) == 24
