"""A whole report on synthetic data: its figures, and the page that shows them."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from cberl.checkpoint import Checkpoint, CheckpointError
from cberl.data.features import FeatureSet
from cberl.evaluation.compare import summed_f1
from cberl.evaluation.report.gather import Source, gather
from cberl.evaluation.report.page import write_report
from cberl.evaluation.report.targets import figures
from cberl.evaluation.variants import only
from testing.toys import features, group

LABELS = ("fear", "disgust", "neutral")


def source(checkpoint: Checkpoint, split: str) -> FeatureSet:
    return features({"dev": 0, "test": 1}[split])


def corrupt(clean: FeatureSet, rate: float) -> tuple[FeatureSet, float]:
    """Above a rate of 0, no text is left."""
    return only(clean, ["audio"]) if rate else clean, rate / 2


GROUPS = [
    group("ours", 1, 2, tau=1.0, labels=LABELS),
    group("plain", 3, tau=1.0, labels=LABELS),
    group("all", 5, labels=LABELS, direction="offline"),
    group("two", 4, labels=LABELS, lookahead=2),
]


def test_every_figure_of_a_report(tmp_path: Path) -> None:
    found, maps = gather(GROUPS, Source("made", "test", source, corrupt), ["plain"], (0.0, 0.5))
    given = features(1)
    assert [row["decisions"] for row in found["groups"]] == ["adjusted", "argmax", "adjusted", "adjusted"]
    assert [row["later"] for row in found["groups"]] == [0, 0, None, 2]
    assert [row["later"] for row in found["future"]["rows"]] == [0, 2, None]
    gap = found["future"]["gap"]["weighted_f1"]["difference"]
    ours, offline = (found["groups"][n]["weighted_f1"]["mean"] for n in (0, 2))
    assert gap == pytest.approx(offline - ours, abs=0.02)
    assert found["modalities"]["subsets"].keys() == {"text", "audio", "text+audio"}
    assert found["modalities"]["subsets"]["text+audio"]["weighted_f1"] == found["groups"][0]["weighted_f1"]
    half = found["modalities"]["half_missing"]
    lost = half["loss"]["macro_f1"]["difference"]
    assert lost == pytest.approx(found["groups"][0]["macro_f1"]["mean"] - half["macro_f1"]["mean"], abs=0.02)
    as_written, clean, wrong = found["misheard"]
    assert as_written["macro_f1"] == clean["macro_f1"] == found["groups"][0]["macro_f1"]
    assert wrong["macro_f1"] == found["modalities"]["subsets"]["audio"]["macro_f1"]
    assert (wrong["asked"], wrong["word_error_rate"]) == (50, 25)
    assert [one.title for one in maps] == ["fused z", "graph states", "graph states, plain"]

    write_report({"command": "cberl report"} | found, maps, tmp_path / "new" / "made")
    page = (tmp_path / "new" / "made.md").read_text()
    assert "plain (by argmax)" in page
    assert "| all |" in page.split("## Rare emotions")[1].split("##")[0]
    assert "two (uses 2 later utterances)" in page
    assert "| plain | none |" in page
    assert "| all | `model.direction=offline` |" in page
    assert "| two | `model.lookahead=2` |" in page
    shown = {line.split("](")[1].split(")")[0] for line in page.splitlines() if line.startswith("![")}
    assert len(shown) == 10
    for plot in shown:
        assert (tmp_path / "new" / plot).read_bytes().startswith(b"\x89PNG")
    assert json.loads((tmp_path / "new" / "made.json").read_text())["utterances"] == int((given.label >= 0).sum())


def test_several_plain_groups() -> None:
    bare = group("bare", 7, labels=LABELS)
    found, maps = gather([*GROUPS[:2], bare], Source("made", "test", source), ["bare", "plain"])
    assert [row["decisions"] for row in found["groups"]] == ["adjusted", "argmax", "argmax"]
    over = {row["name"]: list(row["over"]) for row in found["rare"]["rows"]}
    assert over == {"ours": ["bare", "plain"], "plain": ["bare"], "bare": ["plain"]}
    assert figures(found)["fear_disgust_over_plain"] == found["rare"]["rows"][0]["over"]["bare"]
    assert [one.title for one in maps][2:] == ["graph states, bare"]


def test_groups_that_use_later_utterances_are_compared_with_one_of_equal_settings() -> None:
    other = group("other", 6, labels=LABELS, past=2)
    found, _ = gather([other, *GROUPS], Source("made", "test", source))
    assert found["future"]["rows"][0]["name"] == "ours"
    found, _ = gather([other, GROUPS[2]], Source("made", "test", source))
    assert found["future"]["rows"][0]["name"] == "other"


def test_a_plain_group_decides_by_argmax_and_is_calibrated_again() -> None:
    found, _ = gather(GROUPS[:2], Source("made", "test", source), ["plain"])
    plain, given = GROUPS[1].checkpoints[0], features(1)
    bare = GROUPS[1].predict(given)[0]
    argmax = replace(bare, calibration=replace(plain.calibration, tau=0.0))
    assert bare.scores().f1.tolist() != argmax.scores().f1.tolist()
    ours, theirs = found["rare"]["rows"]
    assert theirs["summed_f1"]["mean"] == pytest.approx(float(summed_f1([0, 1])(argmax.counts().sum(0))), abs=0.01)
    expected = ours["summed_f1"]["mean"] - theirs["summed_f1"]["mean"]
    assert ours["over"]["plain"]["difference"] == pytest.approx(expected, abs=0.02)
    assert theirs["over"] == {}
    assert torch.equal(argmax.logits, bare.logits)


def test_a_report_of_one_group_has_no_comparisons(tmp_path: Path) -> None:
    found, maps = gather([group("alone", 1)], Source("MELD", "dev", source))
    assert found["future"] == {"rows": []}
    assert found["targets"]["causal_offline_gap"]["met"] is None
    write_report({"command": "cberl report"} | found, maps, tmp_path / "made")
    page = (tmp_path / "made.md").read_text()
    assert "not measured" in page
    assert "## Rare emotions" not in page
    assert "## Differences" not in page
    assert not (tmp_path / "made" / "forest.png").exists()


@pytest.mark.parametrize("plain", ["ours", "missing"])
def test_a_plain_group_must_exist_and_not_be_the_first(plain: str) -> None:
    with pytest.raises(CheckpointError, match="and not of the first"):
        gather(GROUPS, Source("made", "test", source), [plain])
