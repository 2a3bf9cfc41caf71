"""A corpus's own recordings, heard and seen by the networks that come along: as the live engine hears and sees them."""

from pathlib import Path

import av
import numpy as np
import pytest

from cberl.data.clips import Sense, describe_clips
from cberl.data.dialogue import Clip, DataError, Dialogue, Line
from cberl.encoders.audio import AudioEncoder
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import CascadeDetector
from cberl.encoders.speech_emotion import SpeechEncoder
from cberl.encoders.visual import FaceVisual, VisualEncoderConfig
from cberl.training.features.clip_encoders import EXPRESSION, SPEECH, hearing, seeing, with_face, with_voice
from cberl.types import SAMPLE_RATE
from engine.ingest.video_reader import VideoReader
from testing.recordings import tone, write_film, write_wav

RATE = 12


@pytest.fixture(scope="module")
def film(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_talking_film(shared, tmp_path_factory.mktemp("film") / "film.mkv")


def make_talking_film(shared: Path, path: Path) -> Path:
    """Two seconds of a face, one of nothing; a voice throughout."""
    with av.open(str(shared / "data/faces/pyfeat_single_face.mp4")) as container:
        faces = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)]
    pictures = [faces[n % len(faces)] for n in range(2 * RATE)] + [np.zeros_like(faces[0])] * RATE
    clip = next((shared / "data/ravdess").rglob("03-01-05-*-01.*"))
    return write_film(path, pictures, RATE, spoken(clip))


def spoken(clip: Path) -> np.ndarray:
    with av.open(str(clip)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
        frames = [out for frame in container.decode(audio=0) for out in resampler.resample(frame)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])[: 3 * SAMPLE_RATE]


def described(sense: Sense, folder: Path, *clips: Clip) -> tuple[tuple[Line, ...], list[str]]:
    lines = tuple(Line("a", "hi", 0, float(i), i + 1.0, clip=clip) for i, clip in enumerate(clips))
    (dialogue,), problems = describe_clips([Dialogue("d", lines)], sense, folder / "cache")
    return dialogue.lines, problems


def test_a_voice_is_heard_as_live(film: Path, tmp_path: Path) -> None:
    audio = with_voice()
    (line,), problems = described(hearing(audio), tmp_path, Clip(film, 0.0, 2.0))
    with av.open(str(film)) as container:
        pcm = np.concatenate([frame.to_ndarray().ravel() for frame in container.decode(audio=0)])
    live = AudioEncoder(audio, SpeechEncoder(SPEECH)).describe((pcm[: 2 * SAMPLE_RATE] / 32768).astype(np.float32))
    assert not problems
    assert line.prosody is not None
    assert line.prosody.shape == (15,)
    np.testing.assert_allclose(line.prosody, live, rtol=1e-3, atol=1e-3)


def test_a_face_is_seen_as_live_and_nobody_is_absence(film: Path, tmp_path: Path) -> None:
    visual = with_face()
    (seen, nobody), problems = described(seeing(visual), tmp_path, Clip(film, 0.5, 1.5), Clip(film, 2.2, 2.9))
    live_film = VideoReader(str(film))
    pictures = [rgb for at_s, rgb in live_film.until(9.0) if 0.5 <= at_s <= 1.5]
    live_film.close()
    live = FaceVisual(CascadeDetector(), ExpressionEncoder(EXPRESSION), visual).describe(pictures)
    assert not problems
    assert nobody.face is None
    assert live is not None
    assert seen.face is not None
    np.testing.assert_allclose(seen.face, live.vector, atol=1e-5)


def test_nobody_is_remembered_and_sound_alone_has_no_pictures(film: Path, tmp_path: Path) -> None:
    visual = with_face()
    wav = write_wav(tmp_path / "sound.wav", tone(200, 1)[None])
    _, problems = described(seeing(visual), tmp_path, Clip(film, 2.2, 2.9), Clip(wav))
    assert problems == [f"{wav} has no pictures: there is nothing to see"]
    (journal,) = (tmp_path / "cache").glob("*.jsonl")
    assert journal.read_text().count('"audio": []') == 1


def test_another_network_than_the_installed_one_is_refused() -> None:
    with pytest.raises(DataError, match="another expression network"):
        seeing(VisualEncoderConfig("0" * 64))
