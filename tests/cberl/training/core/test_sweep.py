"""The combinations of a sweep, their comparison, and that a failing run does not affect others."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
import torch

from cberl.checkpoint import load_checkpoint
from cberl.data.features import FeatureSet
from cberl.encoders.audio import AudioEncoderConfig
from cberl.training.core.cluster import run_on_ray
from cberl.training.core.parallel import Failure, Report, Task, run_in_processes
from cberl.training.core.recipe import RecipeError, load_recipe
from cberl.training.core.runs import Result, Run
from cberl.training.core.sweep import combinations, compared
from cberl.training.core.train import Epoch
from cberl.training.core.training_data import TrainingData

TINY = ["train.epochs=2", "model.latent_dim=8", "model.hidden_dim=8", "model.heads=2"]


def test_a_grid_is_every_combination() -> None:
    found = combinations("starter", ["train.epochs=3"], ["train.focal_gamma=0,1", "augment.method=none, smote"])
    assert [one.name for one in found] == [
        "focal_gamma=0,method=none",
        "focal_gamma=0,method=smote",
        "focal_gamma=1,method=none",
        "focal_gamma=1,method=smote",
    ]
    assert [(one.recipe.train.focal_gamma, one.recipe.augment.method) for one in found[1:3]] == [
        (0, "smote"),
        (1, "none"),
    ]
    assert {one.recipe.train.epochs for one in found} == {3}
    assert found[3].choice == {"train.focal_gamma": "1", "augment.method": "smote"}
    (only,) = combinations("plain", [], [])
    assert (only.name, only.choice) == ("plain", {})


def test_names_are_distinct_and_valid_for_a_folder(tmp_path: Path) -> None:
    both = combinations(None, [], ["augment.cap=2", "augment.gan.cycle=1e-1"])
    assert [one.name for one in both] == ["cap=2,cycle=1e-1"]
    assert combinations(None, [], ["model.graph='rgat',\"gatv2\""])[0].name == "graph=-rgat-"


@pytest.mark.parametrize(
    ("grid", "sentence"),
    [
        (["train.focal_gamma"], "write it as train.focal_gamma=0,1,2"),
        (["train.focal_gamma=1,,2"], "write it as"),
        (["train.focal_gama=1,2"], "did you mean focal_gamma"),
        (["model.past=4", "model.past=8"], "in the grid twice"),
        (["model.past=4,4"], "a value is given twice"),
        (["train.epochs=4,5"], "train.epochs cannot be both set and in the grid"),
    ],
)
def test_mistakes_in_a_grid_are_named(grid: list[str], sentence: str) -> None:
    with pytest.raises(RecipeError, match=sentence):
        combinations("plain", ["train.epochs=3"], grid)


def test_combinations_are_compared_by_their_means_best_first() -> None:
    def result(weighted: float, macro: float) -> Result:
        return Result("x", 3, weighted, macro, 0.0, 1.0)

    rows = compared({"low": [result(50, 30), result(52, 34)], "high": [result(60, 40)], "failed": []})
    assert [(row["name"], row["seeds"], row["selection"]) for row in rows] == [("high", 1, 50.0), ("low", 2, 41.5)]
    assert rows[1]["dev_weighted_f1"] == {"mean": 51, "sd": 1.41}
    assert rows[1]["dev_macro_f1"] == {"mean": 32, "sd": 2.83}


def on_ray(tasks: Sequence[Task], at_once: int, report: Report) -> None:
    pytest.importorskip("ray", reason="Ray is not installed: pip install -e '.[cluster]'")
    run_on_ray(tasks, at_once, tasks[0].data / "tune", report)


@pytest.mark.timeout(600)  # each process loads PyTorch
@pytest.mark.parametrize("run", [run_in_processes, on_ray])
def test_a_run_that_fails_does_not_affect_others(
    run: Callable[[Sequence[Task], int, Report], None], tmp_path: Path
) -> None:
    random = torch.Generator().manual_seed(0)
    text, lengths = torch.randn(12, 5, generator=random), torch.tensor([4, 4, 4])
    talk = FeatureSet(
        {"text": text}, {"text": torch.ones(12, dtype=torch.bool)}, torch.arange(12) % 2, torch.arange(12) % 3, lengths
    )
    audio = AudioEncoderConfig((0.0,) * 8, (1.0,) * 8)
    TrainingData(("a", "b", "c"), talk, talk, audio, "none", {"corpus": "tiny"}).save(tmp_path)
    recipe = load_recipe("plain", TINY)
    tasks = [Task(Run(recipe, seed, tmp_path / f"seed-{seed}", "tiny"), tmp_path, threads=1) for seed in range(2)]
    (tmp_path / "seed-0").mkdir()
    (tmp_path / "seed-0" / "last.pt").write_bytes(b"damaged")
    reports: list[tuple[int, Epoch | Result | Failure]] = []
    run(tasks, 2, lambda index, message: reports.append((index, message)))
    (failure,) = [message for index, message in reports if index == 0]
    assert isinstance(failure, Failure)
    assert "UnpicklingError" in failure.why
    if run is run_in_processes:  # Ray keeps stderr elsewhere
        assert "Traceback" in (tmp_path / "seed-0" / "stderr.txt").read_text()
    *epochs, result = [message for index, message in reports if index == 1]
    assert [epoch.epoch for epoch in epochs if isinstance(epoch, Epoch)] == [1, 2]
    assert isinstance(result, Result)
    assert load_checkpoint(tmp_path / "seed-1").model.config.labels == ("a", "b", "c")
    # Asked again, only the failed one runs.
    (tmp_path / "seed-0" / "last.pt").unlink()
    reports.clear()
    run(tasks, 1, lambda index, message: reports.append((index, message)))
    assert [message for index, message in reports if index == 1] == [result]
    assert isinstance([message for index, message in reports if index == 0][-1], Result)
    assert json.loads((tmp_path / "seed-0" / "run.json").read_text())["result"]["epochs"] == 2
