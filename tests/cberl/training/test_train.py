"""Training on toy conversations: it learns, resumes exactly, and what it saves is what it was."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cberl.checkpoint import load_checkpoint
from cberl.config import ModelConfig, TrainConfig
from cberl.data.features import FeatureSet
from cberl.training.evaluate import evaluate, plot_confusion, summary
from cberl.training.train import Epoch, Trainer, fit, predict

CONFIG = TrainConfig(
    epochs=4,
    batch_dialogues=4,
    learning_rate=3e-3,
    patience=9,
    model=ModelConfig(labels=("a", "b", "c"), text_dim=12, audio_dim=4, latent_dim=16, hidden_dim=16, heads=2, past=3),
)


def toy(seed: int, dialogues: int = 24) -> FeatureSet:
    """The label is which third of the text vector is raised; the audio is noise, and absent here and there."""
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


def quiet(_: Epoch) -> None:
    """Nobody watches."""


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole = Trainer(CONFIG, toy(0), toy(1))
    fit(whole, tmp_path / "whole", resume=False, report=quiet)

    class StoppedError(Exception):
        pass

    def stop_after_two(epoch: Epoch) -> None:
        if epoch.epoch == 2:
            raise StoppedError

    with pytest.raises(StoppedError):
        fit(Trainer(CONFIG, toy(0), toy(1)), tmp_path / "cut", resume=False, report=stop_after_two)
    torch.manual_seed(99)  # a new process starts with another random state
    again = Trainer(CONFIG, toy(0), toy(1))
    fit(again, tmp_path / "cut", resume=True, report=quiet)
    assert again.epoch == whole.epoch == 4
    for name, value in whole.model.state_dict().items():
        assert torch.equal(again.model.state_dict()[name], value), name
    assert (tmp_path / "cut" / "log.jsonl").read_text() == (tmp_path / "whole" / "log.jsonl").read_text()


def test_resuming_with_other_settings_is_refused(tmp_path: Path) -> None:
    fit(Trainer(replace(CONFIG, epochs=1), toy(0), toy(1)), tmp_path, resume=False, report=quiet)
    with pytest.raises(ValueError, match="other settings"):
        fit(Trainer(CONFIG, toy(0), toy(1)), tmp_path, resume=True, report=quiet)


def test_it_learns_and_what_is_saved_predicts_the_same(tmp_path: Path) -> None:
    epochs: list[Epoch] = []
    trainer = Trainer(replace(CONFIG, epochs=15), toy(0), toy(1))
    fit(trainer, tmp_path, resume=False, report=epochs.append)
    assert epochs[-1].loss < 0.7 * epochs[0].loss
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


def test_dropout_of_modalities_never_takes_the_last() -> None:
    trainer = Trainer(replace(CONFIG, modality_dropout=0.9), toy(0), toy(1))
    batch, _ = trainer.train_set.whole()
    corrupted = trainer._corrupt(batch)
    text, audio = corrupted.present["text"], corrupted.present["audio"]
    assert (text | audio).all()
    assert not text.all()
    assert not (audio & ~batch.present["audio"]).any()


def test_the_confusion_matrix_is_drawn(tmp_path: Path) -> None:
    trainer = Trainer(replace(CONFIG, epochs=1), toy(0), toy(1))
    plot_confusion(trainer.dev_scores(), tmp_path / "new" / "confusion.png")
    assert (tmp_path / "new" / "confusion.png").read_bytes().startswith(b"\x89PNG")
