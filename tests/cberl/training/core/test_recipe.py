"""The bundled recipes are valid, and errors name the key."""

from pathlib import Path

import pytest
import torch

from cberl.data.features import FeatureSet
from cberl.training.core.recipe import FOLDER, Recipe, RecipeError, load_recipe, names


def test_every_recipe_is_valid_and_its_header_has_its_command() -> None:
    assert {"starter", "plain", "every-lever", "smoke"} <= set(names())
    for name in names():
        load_recipe(name)
        assert f"cberl train {name} --data" in (FOLDER / f"{name}.toml").read_text().split("\n\n", maxsplit=1)[0]


def test_settings_override_a_recipe_and_a_file(tmp_path: Path) -> None:
    mine = tmp_path / "mine.toml"
    mine.write_text("[train]\nfocal_gamma = 2.0\n")
    recipe = load_recipe(str(mine), ["model.past=3", "augment.method=smote", "augment.gan.steps=7"])
    assert (recipe.train.focal_gamma, recipe.model.past) == (2.0, 3)
    assert (recipe.augment.method, recipe.augment.gan.steps) == ("smote", 7)


@pytest.mark.parametrize(
    ("setting", "sentence"),
    [
        ("train.focal_gama=1", "did you mean focal_gamma"),
        ("train.seed=3", r"train.seed is not a setting"),
        ("model.past=often", r"model.past: Input should be a valid integer"),
        ("augment.method=magic", r"augment.method"),
        ("focal", "write it as"),
    ],
)
def test_mistakes_are_named(setting: str, sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        load_recipe("starter", [setting])
    with pytest.raises(RecipeError, match="one of every-lever"):
        load_recipe("no-such")


def test_labels_and_sizes_come_from_the_corpus() -> None:
    features = FeatureSet(
        {"text": torch.zeros(2, 5)},
        {"text": torch.ones(2, dtype=torch.bool)},
        torch.zeros(2, dtype=torch.long),
        torch.tensor([0, 1]),
        torch.tensor([2]),
    )
    train, augmentation = Recipe().for_corpus(features, ("calm", "loud"), seed=4)
    assert train.model.modality_dims == {"text": 5}
    assert (train.model.labels, train.seed, augmentation.seed) == (("calm", "loud"), 4, 4)
