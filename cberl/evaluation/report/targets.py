"""What a report's figures are compared with: targets of this project, and published results."""

import tomllib
from pathlib import Path
from typing import Any

FILE = Path(__file__).parent / "anchors.toml"


def anchors(corpus: str) -> list[dict[str, Any]]:
    """Published results on this corpus."""
    return list(_read(corpus).get("anchors", []))


def targets(corpus: str, measured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """By name: the figure (null = not measured), its sd, the target, whether it is met, and published results."""
    reached = figures(measured)
    return {
        one["name"]: _held(one, reached.get(one["of"]), anchors(corpus)) for one in _read(corpus).get("targets", [])
    }


def figures(measured: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """The figures that have targets, if they were measured: {"mean", "sd"} or {"difference", ...}."""
    first = measured["groups"][0]
    gap = measured["future"].get("gap")
    found = {
        "weighted_f1": first["weighted_f1"],
        "macro_f1": first["macro_f1"],
        **first["f1"],
        "ece": first["ece"],
        "half_missing_loss": measured["modalities"]["half_missing"]["loss"]["weighted_f1"],
        "fear_disgust_over_plain": _over_plain(measured["rare"]),
        "causal_offline_gap": gap and gap["weighted_f1"],
    }
    return {name: figure for name, figure in found.items() if figure}


def _over_plain(rare: dict[str, Any] | None) -> dict[str, Any] | None:
    """Of the first group, over the first plain one."""
    return rare["rows"][0]["over"][rare["plain"][0]] if rare and rare["plain"] else None


def _held(target: dict[str, Any], figure: dict[str, Any] | None, others: list[dict[str, Any]]) -> dict[str, Any]:
    reached = None if figure is None else figure.get("mean", figure.get("difference"))
    least, most = target.get("at_least"), target.get("at_most")
    met = None if reached is None else (reached >= least if least is not None else reached <= most)
    published = {one["name"]: one.get(target["of"], one.get("f1", {}).get(target["of"])) for one in others}
    return {
        "reached": reached,
        **{key: value for key, value in (figure or {}).items() if key in ("sd", "low", "high")},
        **({"at_least": least} if least is not None else {"at_most": most}),
        "met": met,
        "published": {name: value for name, value in published.items() if value is not None},
    }


def _read(corpus: str) -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads(FILE.read_text(encoding="utf-8")).get(corpus, {})
    return found
