"""Composed corpora: the shares of scores and of their labels, and equality with the live encoders."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from cberl.config import ModelConfig, TrainConfig
from cberl.data.features import FeatureSet, widened
from cberl.encoders.audio import AudioEncoderConfig, AudioHistory
from cberl.model import Batch
from cberl.streaming import StepInput, initial_state, step
from cberl.training.core.train import Trainer
from cberl.training.features.compose import ComposeConfig, Pool, compose, draw

MEAN, SD = [0.5] * 7, [2.0] * 7
PLAIN = AudioEncoderConfig([0.0] * 8, [1.0] * 8)
AUDIO = AudioEncoderConfig([0.0] * 8 + MEAN, [1.0] * 8 + SD, features="prosody+speech")
# One distinct row of scores per label.
CLEAR = Pool(np.eye(7, dtype=np.float32), np.arange(7))
POOLS = {"voice": CLEAR, "face": CLEAR}


@pytest.fixture(scope="module")
def real() -> FeatureSet:
    """300 dialogues of ten utterances and two speakers; one utterance in ten has no audio, one in ten no label."""
    chance = torch.Generator().manual_seed(0)
    count = 3000
    sound = torch.rand(count, generator=chance) > 0.1
    label = torch.multinomial(torch.tensor([8.0, 4, 1, 2, 4, 1, 3]), count, replacement=True, generator=chance)
    return FeatureSet(
        x={
            "text": torch.randn(count, 12, generator=chance),
            "audio": torch.randn(count, 8, generator=chance) * sound.unsqueeze(1),
        },
        present={"text": torch.ones(count, dtype=torch.bool), "audio": sound},
        speaker=torch.arange(count) % 2,
        label=torch.where(torch.rand(count, generator=chance) > 0.1, label, -1),
        lengths=torch.full((300,), 10),
    )


def test_shares_of_scores_and_of_matching_labels_are_those_of_the_config(real: FeatureSet) -> None:
    config = ComposeConfig(voice=0.7, face=0.5, mismatch=0.3, missing=0.2)
    composed = compose(real, POOLS, config, AUDIO, seed=0)
    face, voice = composed.present["visual"], composed.x["audio"][:, 8:].abs().sum(1) > 0
    dialogues = face.view(300, 10).any(1)  # (3000,) -> (300, 10)
    assert dialogues.float().mean() == pytest.approx(0.5, abs=0.08)
    with_label = (real.label >= 0) & dialogues.repeat_interleave(10)
    assert face[with_label].float().mean() == pytest.approx(0.8, abs=0.03)
    shown = composed.x["visual"].argmax(1)
    assert (shown == real.label)[face].float().mean() == pytest.approx(0.7, abs=0.04)
    assert not (face | voice)[real.label < 0].any()
    assert not voice[~real.present["audio"]].any()
    assert (face & ~voice).any()
    assert (voice & ~face).any()
    assert composed.x["visual"][~face].abs().sum() == 0
    torch.testing.assert_close(composed.x["audio"][:, :8], real.x["audio"])
    torch.testing.assert_close(composed.x["text"], real.x["text"])


def test_mismatching_labels_are_drawn_by_their_frequency(real: FeatureSet) -> None:
    label = real.label.numpy()
    shown = draw(CLEAR, label, label >= 0, 1.0, np.random.default_rng(0))
    known = label >= 0
    assert np.isnan(shown[~known]).all()
    seen_as, label = shown[known].argmax(1), label[known]
    assert (seen_as != label).all()
    counts = np.bincount(label, minlength=7).astype(float)
    counts[4] = 0
    np.testing.assert_allclose(
        np.bincount(seen_as[label == 4], minlength=7) / (label == 4).sum(), counts / counts.sum(), atol=0.06
    )


def test_equal_seeds_give_equal_corpora(real: FeatureSet) -> None:
    config = ComposeConfig(voice=0.5, face=0.5)
    one, same, other = (compose(real, POOLS, config, AUDIO, seed) for seed in (3, 3, 4))
    for name, values in one.x.items():
        assert torch.equal(values, same.x[name])
    assert not torch.equal(one.x["visual"], other.x["visual"])
    assert not torch.equal(one.x["audio"], other.x["audio"])


def test_without_shares_nothing_is_added(real: FeatureSet) -> None:
    assert compose(real, {}, ComposeConfig(), PLAIN, 0).x.keys() == real.x.keys()
    with pytest.raises(ValueError, match="mismatch is a share"):
        ComposeConfig(mismatch=1.5)


def test_composed_speech_emotion_equals_the_live_encoder_and_streams_as_in_training(real: FeatureSet) -> None:
    first = torch.arange(4)
    batch, label = real.batch(first)
    few = FeatureSet(batch.x, batch.present, batch.speaker, label, batch.lengths)
    raw = torch.where(few.present["audio"].unsqueeze(1), few.x["audio"] + 5, 0.0)  # long and loud enough to be usable
    few = replace(few, x=few.x | {"audio": _normalised(few, raw)})
    composed = compose(few, POOLS, ComposeConfig(voice=1, face=1, mismatch=0, missing=0.3), AUDIO, seed=1)
    model = ModelConfig(text_dim=12, audio_dim=15, visual_dim=7, latent_dim=16, hidden_dim=16, heads=2, past=3)
    trainer = Trainer(TrainConfig(model=model), composed, composed)
    trainer.run_epoch()
    network = trainer.scored.eval()
    with torch.inference_mode():
        offline = network(composed.whole()[0]).logits
    for dialogue in range(4):
        state, history = initial_state(network), AudioHistory(AUDIO)
        for row in range(10 * dialogue, 10 * dialogue + 10):
            speaker = f"speaker-{int(composed.speaker[row])}"
            heard = composed.x["audio"][row, 8:].abs().sum() > 0
            voice = CLEAR.scores[int(label[row])] if heard else np.full(7, np.nan, np.float32)
            vector = history.push(speaker, np.concatenate([raw[row].numpy(), voice]))
            assert (vector is not None) == bool(composed.present["audio"][row])
            x = {
                "text": composed.x["text"][row],
                "audio": None if vector is None else torch.from_numpy(vector),
                "visual": composed.x["visual"][row] if composed.present["visual"][row] else None,
            }
            logits, (state,) = step(network, [state], [StepInput(speaker, x)])
            torch.testing.assert_close(logits[0], offline[row], atol=1e-5, rtol=0)


def _normalised(features: FeatureSet, raw: torch.Tensor) -> torch.Tensor:
    rows = []
    for dialogue in range(len(features.lengths)):
        history = AudioHistory(PLAIN)
        for row in range(10 * dialogue, 10 * dialogue + 10):
            vector = history.push(f"speaker-{int(features.speaker[row])}", raw[row].numpy())
            rows.append(np.zeros(8, np.float32) if vector is None else vector)
    return torch.from_numpy(np.stack(rows))


def test_missing_dimensions_are_zero_and_missing_modalities_absent(real: FeatureSet) -> None:
    wide = widened(real, {"text": 12, "audio": 15, "visual": 7})
    assert {name: values.shape[1] for name, values in wide.x.items()} == {"text": 12, "audio": 15, "visual": 7}
    assert torch.equal(wide.x["audio"][:, :8], real.x["audio"])
    assert wide.x["audio"][:, 8:].abs().sum() == 0
    assert not wide.present["visual"].any()
    assert torch.equal(wide.present["audio"], real.present["audio"])
    whole, _ = wide.whole()
    assert isinstance(whole, Batch)
