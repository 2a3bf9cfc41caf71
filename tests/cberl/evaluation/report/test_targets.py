"""Targets are compared with the measured figures."""

from cberl.evaluation.report.targets import anchors, targets
from cberl.labels import MELD


def one(mean: float) -> dict[str, float]:
    return {"mean": mean, "sd": 0.5}


def gap(difference: float) -> dict[str, dict[str, float]]:
    return {"weighted_f1": {"difference": difference, "low": difference - 1, "high": difference + 1}}


MEASURED = {
    "groups": [
        {
            "weighted_f1": one(62.0),
            "macro_f1": one(44.9),
            "ece": one(4.1),
            "f1": {label: one(20.0) for label in MELD},
        }
    ],
    "rare": None,
    "future": {"rows": [], "gap": gap(1.5)},
    "modalities": {"half_missing": {"loss": gap(-0.2)}},
}


def test_reached_missed_and_not_measured() -> None:
    found = targets("MELD", MEASURED)
    met = {name: figure["met"] for name, figure in found.items()}
    assert met == {
        "meld_weighted_f1": True,
        "meld_macro_f1": False,
        "meld_fear_f1": True,
        "meld_disgust_f1": False,
        "fear_disgust_over_plain": None,
        "causal_offline_gap": True,
        "half_missing_loss": True,
        "ece": False,
    }
    assert found["causal_offline_gap"] == {
        "reached": 1.5,
        "low": 0.5,
        "high": 2.5,
        "at_most": 1.5,
        "met": True,
        "published": {},
    }
    assert found["meld_fear_f1"]["published"] == {"SF-HGN, causal": 21.7, "SACL": 26.2}


def test_the_users_own_corpus_has_no_targets() -> None:
    assert targets("talks", MEASURED) == {}
    assert anchors("talks") == []
