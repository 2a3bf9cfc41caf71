"""Composed corpora: the shares of scores and of their labels, and equality with the live encoders."""

from dataclasses import fields, replace

import numpy as np
import pytest
import torch

from cberl.config import ModelConfig, TrainConfig
from cberl.data.features import FeatureSet, widened
from cberl.encoders.audio import AudioEncoderConfig, AudioHistory
from cberl.model import Batch
from cberl.streaming import StepInput, initial_state, step
from cberl.training.core.train import Trainer
from cberl.training.features.compose import ComposeConfig, FacePool, Pools, compose, drawn_labels
from cberl.training.features.speech_pool import SpeechPool

PLAIN = AudioEncoderConfig([0.0] * 8, [1.0] * 8)
AUDIO = AudioEncoderConfig([0.0] * 8, [1.0] * 8, features="prosody+speech")
ACTORS = 3


def clear_voices() -> SpeechPool:
    """Three actors with one clip per label, which the head recognises after any past."""
    states = np.zeros((ACTORS * 7, 768), np.float32)
    label, actor = np.tile(np.arange(7), ACTORS), np.repeat(np.arange(ACTORS), 7)
    states[np.arange(len(label)), label] = 3.0
    states[np.arange(len(label)), 10 + actor] = 1.0
    weight = np.zeros((1, 7, 768), np.float32)
    weight[0, np.arange(7), np.arange(7)] = 5.0
    mean, sd = np.zeros((1, 768), np.float32), np.ones((1, 768), np.float32)
    group, bias, prior = np.zeros(ACTORS, np.int64), np.zeros((1, 7), np.float32), np.array([100.0], np.float32)
    return SpeechPool(states, label, actor, group, mean, sd, weight, bias, prior)


VOICES = clear_voices()
CLEAR = FacePool(np.eye(7, dtype=np.float32), np.arange(7))  # one distinct row of scores per label
POOLS = Pools(VOICES, CLEAR)


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
    composed = compose(real, POOLS, config, seed=0)
    face, voice = composed.present["visual"], composed.x["audio"][:, 8:].abs().sum(1) > 0
    dialogues = face.view(300, 10).any(1)  # (3000,) -> (300, 10)
    assert dialogues.float().mean() == pytest.approx(0.5, abs=0.08)
    with_label = (real.label >= 0) & dialogues.repeat_interleave(10)
    assert face[with_label].float().mean() == pytest.approx(0.8, abs=0.03)
    shown = composed.x["visual"].argmax(1)
    assert (shown == real.label)[face].float().mean() == pytest.approx(0.7, abs=0.04)
    spoken = composed.x["audio"][:, 8:].argmax(1)
    assert (spoken == real.label)[voice].float().mean() == pytest.approx(0.7, abs=0.04)
    assert not (face | voice)[real.label < 0].any()
    assert not voice[~real.present["audio"]].any()
    assert (face & ~voice).any()
    assert (voice & ~face).any()
    assert composed.x["visual"][~face].abs().sum() == 0
    torch.testing.assert_close(composed.x["audio"][:, :8], real.x["audio"])
    torch.testing.assert_close(composed.x["text"], real.x["text"])


def test_mismatching_labels_are_drawn_by_their_frequency(real: FeatureSet) -> None:
    label = real.label.numpy()
    drawn = drawn_labels(label, label >= 0, 1.0, np.random.default_rng(0))
    known = label >= 0
    assert (drawn[~known] == -1).all()
    seen_as, label = drawn[known], label[known]
    assert (seen_as != label).all()
    counts = np.bincount(label, minlength=7).astype(float)
    counts[4] = 0
    np.testing.assert_allclose(
        np.bincount(seen_as[label == 4], minlength=7) / (label == 4).sum(), counts / counts.sum(), atol=0.06
    )


def test_equal_seeds_give_equal_corpora(real: FeatureSet) -> None:
    config = ComposeConfig(voice=0.5, face=0.5)
    one, same, other = (compose(real, POOLS, config, seed) for seed in (3, 3, 4))
    for name, values in one.x.items():
        assert torch.equal(values, same.x[name])
    assert not torch.equal(one.x["visual"], other.x["visual"])
    assert not torch.equal(one.x["audio"], other.x["audio"])


def test_without_shares_nothing_is_added(real: FeatureSet) -> None:
    assert compose(real, Pools(), ComposeConfig(), 0).x.keys() == real.x.keys()
    with pytest.raises(ValueError, match="mismatch is a share"):
        ComposeConfig(mismatch=1.5)


def test_composed_speech_emotion_equals_the_live_encoder_and_streams_as_in_training(real: FeatureSet) -> None:
    first = torch.arange(4)
    batch, label = real.batch(first)
    few = FeatureSet(batch.x, batch.present, batch.speaker, label, batch.lengths)
    raw = torch.where(few.present["audio"].unsqueeze(1), few.x["audio"] + 5, 0.0)  # long and loud enough to be usable
    few = replace(few, x=few.x | {"audio": _normalised(few, raw)})
    composed = compose(few, POOLS, ComposeConfig(voice=1, face=1, mismatch=0, missing=0.3), seed=1)
    model = ModelConfig(text_dim=12, audio_dim=15, visual_dim=7, latent_dim=16, hidden_dim=16, heads=2, past=3)
    trainer = Trainer(TrainConfig(model=model), composed, composed)
    trainer.run_epoch()
    network = trainer.scored.eval()
    with torch.inference_mode():
        offline = network(composed.whole()[0]).logits
    for dialogue in range(4):
        state, history = initial_state(network.config), AudioHistory(AUDIO, VOICES.head(0))
        for row in range(10 * dialogue, 10 * dialogue + 10):
            speaker = f"speaker-{int(composed.speaker[row])}"
            spoken = composed.x["audio"][row, 8:].abs().sum() > 0
            voice = VOICES.states[int(label[row])] if spoken else np.full(768, np.nan, np.float32)
            vector = history.push(speaker, np.concatenate([raw[row].numpy(), voice]))
            assert (vector is not None) == bool(composed.present["audio"][row])
            if vector is not None:  # whichever actor it was: the head reads the label alone
                np.testing.assert_allclose(vector, composed.x["audio"][row], atol=1e-5)
            x = {
                "text": composed.x["text"][row].numpy(),
                "audio": vector,
                "visual": composed.x["visual"][row].numpy() if composed.present["visual"][row] else None,
            }
            logits, (state,) = step(network, [state], [StepInput(speaker, x)])
            np.testing.assert_allclose(logits[0], offline[row], atol=1e-4, rtol=0)


def test_a_person_has_the_voice_of_one_actor_throughout_a_dialogue(real: FeatureSet) -> None:
    clips: list[int] = []

    class Recorded(SpeechPool):
        def _clip(self, actor: int, label: int, rng: np.random.Generator) -> int:
            clips.append(super()._clip(actor, label, rng))
            return clips[-1]

    pool = Recorded(*(getattr(VOICES, field.name) for field in fields(VOICES)))
    few = replace(real, lengths=torch.tensor([10] * 30), label=real.label[:300], speaker=real.speaker[:300])
    pool.scores(few, real.label[:300].numpy(), np.random.default_rng(0))
    spoken = iter(VOICES.actor[clips])
    turns = [dialogue[person::2] for dialogue in real.label[:300].view(30, 10) for person in (0, 1)]
    voices = [{int(next(spoken)) for label in one if label >= 0} for one in turns]
    assert all(len(one) <= 1 for one in voices)
    assert len(set().union(*voices)) == ACTORS


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
