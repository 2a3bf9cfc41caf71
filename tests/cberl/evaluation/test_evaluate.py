"""Scores of trained networks, before and after saving."""

from dataclasses import replace
from pathlib import Path

import torch

from cberl.calibration import Calibration
from cberl.checkpoint import load_checkpoint
from cberl.config import ModelConfig, TrainConfig
from cberl.data.features import FeatureSet
from cberl.evaluation.evaluate import Predicted, evaluate, summary
from cberl.training.core.train import Trainer, predict

CONFIG = TrainConfig(
    epochs=15,
    batch_dialogues=4,
    learning_rate=3e-3,
    patience=9,
    model=ModelConfig(labels=("a", "b", "c"), text_dim=12, audio_dim=4, latent_dim=16, hidden_dim=16, heads=2, past=3),
)


def toy(seed: int, dialogues: int = 24) -> FeatureSet:
    """The label is the third of the text vector with a higher mean; audio is noise, and sometimes absent."""
    generator = torch.Generator().manual_seed(seed)
    lengths = torch.randint(1, 9, (dialogues,), generator=generator)
    total = int(lengths.sum())
    label = torch.randint(0, 3, (total,), generator=generator)
    text = torch.randn(total, 12, generator=generator)
    text += 2.0 * torch.nn.functional.one_hot(label, 3).repeat_interleave(4, dim=1)
    audio_there = torch.rand(total, generator=generator) > 0.3
    return FeatureSet(
        x={"text": text, "audio": torch.randn(total, 4, generator=generator)},
        present={"text": torch.ones(total, dtype=torch.bool), "audio": audio_there},
        speaker=torch.randint(0, 2, (total,), generator=generator),
        label=label,
        lengths=lengths,
    )


def test_it_learns_and_a_saved_network_has_equal_predictions(tmp_path: Path) -> None:
    trainer = Trainer(CONFIG, toy(0), toy(1))
    while not trainer.done:
        trainer.run_epoch()
    checkpoint = trainer.finish("toy", {"text": {}}, {"corpus": "toy"})
    checkpoint.save(tmp_path)
    loaded = load_checkpoint(tmp_path)
    torch.testing.assert_close(predict(loaded.model, toy(2))[0], predict(checkpoint.model, toy(2))[0], atol=0, rtol=0)
    scores, error = evaluate(loaded, toy(2))
    assert scores.weighted_f1 > 80
    assert 0 <= error < 0.5
    assert summary([(scores, error), (scores, error)])["weighted_f1"] == {
        "mean": round(scores.weighted_f1, 2),
        "sd": 0.0,
    }


def test_modality_dropout_never_removes_the_last_modality() -> None:
    trainer = Trainer(replace(CONFIG, modality_dropout=0.9), toy(0), toy(1))
    batch, _ = trainer.train_set.whole()
    corrupted = trainer._corrupt(batch)
    text, audio = corrupted.present["text"], corrupted.present["audio"]
    assert (text | audio).all()
    assert not text.all()
    assert not (audio & ~batch.present["audio"]).any()


def test_counts_by_dialogue_add_up_to_the_confusion_matrix() -> None:
    logits = torch.eye(3)[[0, 1, 2, 0, 0]]
    label, lengths = torch.tensor([0, 2, -1, 0, 1]), torch.tensor([2, 3])
    run = Predicted(("a", "b", "c"), Calibration((0.0,) * 3), logits, label, lengths)
    counts = run.counts()
    assert counts[0].tolist() == [[1, 0, 0], [0, 0, 0], [0, 1, 0]]
    assert counts[1].tolist() == [[1, 0, 0], [1, 0, 0], [0, 0, 0]]
    assert (counts.sum(0) == run.scores().confusion).all()
