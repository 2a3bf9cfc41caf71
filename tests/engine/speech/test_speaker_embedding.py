from pathlib import Path

import numpy as np
import pytest
import torch

from cberl.types import SAMPLE_RATE, Float32
from engine.speech.ge2e import DIM
from engine.speech.speaker_embedding import SpeakerEncoder, SpeakerEncoderError, load_speaker_encoder
from testing.live_engine import SCRIPT, demo


@pytest.fixture(scope="module")
def encoder() -> SpeakerEncoder:
    pytest.importorskip("torchaudio")
    try:
        return load_speaker_encoder()
    except SpeakerEncoderError as error:
        pytest.skip(str(error))


def said(speaker: int) -> list[Float32]:
    name = SCRIPT.speakers[speaker]
    turns = [turn for turn in SCRIPT.turns if turn.speaker == name and turn.end_s - turn.start_s > 1.0][:4]
    return [demo()[speaker, round(t.start_s * SAMPLE_RATE) : round(t.end_s * SAMPLE_RATE)] for t in turns]


def test_embeddings_of_one_speaker_are_more_similar(encoder: SpeakerEncoder) -> None:
    ann, bob = (np.stack(encoder.embed(said(speaker))) for speaker in (0, 1))  # (4, 256)
    same = [(one @ one.T)[np.triu_indices(len(one), 1)].min() for one in (ann, bob)]
    assert min(same) > (ann @ bob.T).max()
    np.testing.assert_allclose(np.linalg.norm(ann, axis=1), 1.0, rtol=1e-5)


def test_loudness_short_clips_and_silence(encoder: SpeakerEncoder) -> None:
    clip = said(0)[0]
    loud, quiet = encoder.embed([clip, clip * 0.01])
    assert quiet @ loud > 0.9
    for odd in encoder.embed([clip[:2000], np.zeros(SAMPLE_RATE, np.float32), np.zeros(0, np.float32)]):
        assert odd.shape == (DIM,)
        assert np.isfinite(odd).all()


def test_other_weights_are_refused(tmp_path: Path) -> None:
    torch.save({"model_state": {"lstm": torch.zeros(1)}}, tmp_path / "other.pt")
    for path in (tmp_path / "other.pt", tmp_path / "missing.pt"):
        with pytest.raises(SpeakerEncoderError, match="is not a speaker encoder"):
            load_speaker_encoder(str(path))
