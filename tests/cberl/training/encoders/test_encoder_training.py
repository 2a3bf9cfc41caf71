"""Training of the small networks: augmentation, the schedule, and resuming."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from cberl.data.fer2013 import FACE_PX
from cberl.training.encoders.expression import ExpressionTraining, augment
from cberl.training.encoders.schedules import moving_average, resume, warm_cosine
from cberl.training.encoders.speech_augment import (
    SpeechAugmentation,
    augment_speech,
    mixed,
    opus,
    reverberated,
    telephone,
)

RATE = 16_000
STILL = ExpressionTraining(rotate_deg=0, zoom=0, shift_px=0, erase=0, crop_px=44)
UNCHANGED = SpeechAugmentation(0, 0, room_share=0, noise_share=0, telephone_share=0, opus_share=0, crop_share=0)


def faces(count: int) -> torch.Tensor:
    picture = torch.arange(FACE_PX * FACE_PX).reshape(FACE_PX, FACE_PX) % 199  # differs from its mirror image
    return picture.to(torch.uint8).expand(count, -1, -1)


def test_without_augmentation_a_face_is_its_centre_crop_or_the_mirror_image() -> None:
    middle = faces(1)[0, 2:-2, 2:-2].float()
    seen = set()
    for face in augment(faces(16), STILL, torch.Generator().manual_seed(0))[:, 0]:
        mirrored = torch.allclose(face, middle.flip(1), atol=1e-2)
        assert mirrored or torch.allclose(face, middle, atol=1e-2)
        seen.add(mirrored)
    assert seen == {True, False}


def test_a_share_of_faces_has_an_erased_patch() -> None:
    config = ExpressionTraining(rotate_deg=0, zoom=0, shift_px=0, erase=0.5)
    pair = [augment(faces(400), one, torch.Generator().manual_seed(0)) for one in (STILL, config)]
    changed = (pair[0] != pair[1]).float().mean(dim=(1, 2, 3))  # changed share of each face
    assert (changed > 0).float().mean() == pytest.approx(0.5, abs=0.1)
    assert changed[changed > 0].min() > 0.02
    assert changed.max() < 0.25


def test_augmented_faces_depend_on_the_generator_alone() -> None:
    once, again = (augment(faces(8), ExpressionTraining(), torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(once, again)
    assert not torch.equal(once, augment(faces(8), ExpressionTraining(), torch.Generator().manual_seed(4)))


def speech(seconds: float = 1.0) -> np.ndarray:
    return np.random.default_rng(0).normal(0, 0.1, int(seconds * RATE)).astype(np.float32)


def tone(hz: float) -> np.ndarray:
    return (0.3 * np.sin(2 * np.pi * hz * np.arange(RATE) / RATE)).astype(np.float32)


def test_each_augmentation_does_what_it_says() -> None:
    rng = np.random.default_rng(1)
    pcm = speech()
    plain = augment_speech(pcm, UNCHANGED, rng)
    np.testing.assert_allclose(plain, pcm[: len(plain)], atol=1e-6)
    assert len(plain) >= len(pcm) - 1
    ratio_db = 10 * np.log10((pcm**2).sum() / ((mixed(pcm, tone(100), 10) - pcm) ** 2).sum())
    assert ratio_db == pytest.approx(10, abs=0.01)
    middle = slice(1000, -1000)
    assert np.ptp(telephone(tone(5000))[middle]) < 0.02 < 0.55 < np.ptp(telephone(tone(1000))[middle])
    heard = opus(tone(500), 16_000)
    assert np.abs(np.fft.rfft(heard, RATE)).argmax() == 500
    assert 0.95 * RATE < len(heard) <= RATE
    echo = reverberated(np.concatenate([pcm[:1600], np.zeros(8000, np.float32)]), 0.4, rng)
    tail = [np.abs(echo[start : start + 800]).mean() for start in (1700, 3000, 7000)]
    assert tail[0] > 2 * tail[1] > 20 * tail[2] > 0
    crop = augment_speech(pcm, replace(UNCHANGED, crop_share=1, crop_s=(0.5, 0.5)), rng)
    assert len(crop) == RATE // 2


def test_augmented_speech_depends_on_the_generator_alone() -> None:
    noises = [tone(100), tone(300)]
    once, again, other = (
        augment_speech(speech(), SpeechAugmentation(), np.random.default_rng(n), noises) for n in (3, 3, 4)
    )
    np.testing.assert_array_equal(once, again)
    assert not np.array_equal(once, other)


def test_the_learning_rate_rises_then_falls_to_zero() -> None:
    rates = [warm_cosine(step, 100, 0.1) for step in range(101)]
    assert rates[5] == pytest.approx(0.5)
    assert rates[10] == max(rates) == 1.0
    assert rates[55] == pytest.approx(0.5)
    assert rates[100] == pytest.approx(0.0)


def test_the_moving_average_equals_its_closed_form_and_forgets_the_first_weights() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    average = moving_average(model, decay=0.9)
    expected = 0.0
    for step in range(200):
        with torch.no_grad():
            model.weight.fill_(float(step))
        average.update_parameters(model)
        keep = min(0.9, (1 + step) / (10 + step)) if step else 0.0
        expected = keep * expected + (1 - keep) * step
    assert average.module.weight.item() == pytest.approx(expected, rel=1e-4)
    assert expected == pytest.approx(199 - 9, abs=0.5)  # a moving average of a ramp lags decay / (1 - decay)


def test_a_resumed_training_gives_the_same_result(tmp_path: Path) -> None:
    def parts() -> dict[str, object]:
        torch.manual_seed(0)
        model = torch.nn.Linear(2, 1)
        return {"model": model, "optimizer": torch.optim.SGD(model.parameters(), 0.1, momentum=0.9)}

    def train(made: dict[str, object], epochs: range) -> None:
        for epoch in epochs:
            torch.manual_seed(epoch)
            made["optimizer"].zero_grad()  # type: ignore[attr-defined]
            made["model"](torch.randn(4, 2)).square().mean().backward()  # type: ignore[operator]
            made["optimizer"].step()  # type: ignore[attr-defined]

    whole, killed, again = parts(), parts(), parts()
    train(whole, range(6))
    train(killed, range(3))
    state = {name: part.state_dict() for name, part in killed.items()}  # type: ignore[attr-defined]
    torch.save(state | {"epoch": 2, "best": 41.5}, tmp_path / "last.pt")
    first, best = resume(tmp_path / "last.pt", again)
    assert (first, best) == (3, 41.5)
    train(again, range(first, 6))
    assert torch.equal(again["model"].weight, whole["model"].weight)  # type: ignore[attr-defined]
    assert resume(tmp_path / "none.pt", parts()) == (0, -float("inf"))
