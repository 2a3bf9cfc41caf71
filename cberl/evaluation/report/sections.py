"""The sections of a report's page: (figures, folder of plots) -> lines of Markdown; none without measurements."""

import json
from collections.abc import Sequence
from typing import Any

Found = dict[str, Any]
_BOTH = ("weighted_f1", "macro_f1")


def groups(found: Found, folder: str) -> list[str]:
    labels = found["labels"]
    lines = _table("", "seeds", "weighted F1", "macro F1", *labels, "ECE")
    for group in found["groups"]:
        shown = [group[key] for key in _BOTH] + [group["f1"][label] for label in labels] + [group["ece"]]
        lines.append(_row(_name(group), str(group["seeds"]), *map(_spread, shown)))
    for one in found["anchors"]:
        shown = [one.get(key) for key in _BOTH] + [one.get("f1", {}).get(label) for label in labels]
        name = f"*{one['name']}*" + (f" ({one['encoder']})" if one["encoder"] else "")
        lines.append(_row(name, "", *("" if value is None else f"{value:.1f}" for value in shown), ""))
    lines += _text_encoders(found["groups"])
    if found["anchors"]:
        lines += ["", "Rows in italics are results on test published by others, most with large encoders."]
    return [*lines, "", *_plot("F1 by class", folder, "classes")]


def _text_encoders(groups: Sequence[Found]) -> list[str]:
    """The text encoder of each group."""
    names: dict[str, list[str]] = {}
    for group in groups:
        names.setdefault(group["text_encoder"], []).append(f"`{group['name']}`")
    if len(names) == 1:
        lines = [f"The text encoder of all groups is a fine-tuned {encoder}." for encoder in names if encoder]
    else:
        lines = [
            f"- {', '.join(users)}: the text encoder is a fine-tuned {encoder}." for encoder, users in names.items()
        ]
    return ["", *lines] if lines else []


def targets(found: Found, folder: str) -> list[str]:
    if not found["targets"]:
        return []
    lines = ["## Targets", "", f"The targets of this project, and the results of `{found['groups'][0]['name']}`.", ""]
    lines += _table("", "reached", "target", "met", "published by others")
    for name, one in found["targets"].items():
        aim = f"≥ {one['at_least']:g}" if "at_least" in one else f"≤ {one['at_most']:g}"
        met = {True: "yes", False: "no", None: "not measured"}[one["met"]]
        others = ", ".join(f"{other} {value:.1f}" for other, value in one["published"].items())
        lines.append(_row(f"`{name}`", _reached(one), aim, met, others))
    return [*lines, ""]


def against(found: Found, folder: str) -> list[str]:
    first, *others = found["groups"]
    if not others:
        return []
    lines = [f"## Differences to `{first['name']}`", "", "Score of each group minus that of the first, in points.", ""]
    lines += _table("", "weighted F1", "macro F1")
    lines += [_row(_name(group), *(_interval(group["against_first"][key]) for key in _BOTH)) for group in others]
    lines += ["", *_plot("Differences", folder, "forest")]
    return lines


def trained(found: Found, folder: str) -> list[str]:
    first, *others = found["groups"]
    if not others:
        return []
    lines = ["## Settings of the groups", "", f"Differences to the settings of `{first['name']}`.", ""]
    lines += _table("", "settings")
    for group in others:
        settings = [f"`{key}={_toml(value)}`" for key, value in group["otherwise"].items()]
        settings += ["another text encoder"] if group["text_encoder"] != first["text_encoder"] else []
        lines.append(_row(group["name"], ", ".join(settings) or "none"))
    return [*lines, ""]


def _toml(value: Any) -> str:
    return value if isinstance(value, str) else "none" if value is None else json.dumps(value)


def rare(found: Found, folder: str) -> list[str]:
    measured = found["rare"]
    if not measured:
        return []
    plain = [f"`{name}`" for name in measured["plain"]]
    lines = ["## Rare emotions", "", f"The sum of F1 of {' and '.join(measured['classes'])}."]
    if plain:
        lines.append(f"Decisions by argmax, without logit adjustment: {', '.join(plain)}.")
    lines += ["", *_table("", "sum of F1", *(f"minus {name}" for name in plain))]
    for row in measured["rows"]:
        over = [_interval(row["over"][name]) if name in row["over"] else "" for name in measured["plain"]]
        lines.append(_row(row["name"], _spread(row["summed_f1"]), *over))
    return [*lines, ""]


def modalities(found: Found, folder: str) -> list[str]:
    measured, first = found["modalities"], found["groups"][0]["name"]
    half = measured["half_missing"]
    lines = [
        f"## `{first}` with fewer modalities",
        "",
        "The same networks, with all other modalities absent. Random half missing: each modality of each utterance is",
        f"removed with probability 1/2, except the last one of an utterance ({half['missing']['mean']:.1f} % are",
        f"removed); mean of {half['draws']} draws.",
        "",
        *_table("", "weighted F1", "macro F1", "loss of weighted F1"),
    ]
    lines += [_row(name, *_f1(row), "") for name, row in measured["subsets"].items()]
    lines.append(_row("random half missing", *_f1(half), _interval(half["loss"]["weighted_f1"])))
    return [*lines, "", *_plot("By modality", folder, "modalities")]


def context(found: Found, folder: str) -> list[str]:
    first, rows = found["groups"][0], found["future"]["rows"]
    lines = [
        "## Context and later utterances",
        "",
        "Without context, each utterance is a dialogue of its own (the text encoder's input still has past turns).",
        "Groups that use later utterances were trained to do so; their gain is over the causal group.",
        "",
        *_table("", "later utterances", "weighted F1", "macro F1", "gain of weighted F1"),
        _row(f"{first['name']}, no context", "0", *_f1(found["without_context"]), ""),
    ]
    for row in rows or [first]:
        gained = _interval(row["over_causal"]["weighted_f1"]) if "over_causal" in row else ""
        lines.append(_row(row["name"], "all" if row["later"] is None else str(row["later"]), *_f1(row), gained))
    return [*lines, "", *(_plot("F1 by later utterances", folder, "future") if rows else [])]


def calibration(found: Found, folder: str) -> list[str]:
    one = found["calibration"]
    lines = [
        "## Calibration",
        "",
        f"Probabilities of `{found['groups'][0]['name']}` without and with the temperature chosen on dev",
        f"({one['temperature']['mean']:.2f} ± {one['temperature']['sd']:.2f}). 15 bins; the size of a point is the",
        "number of utterances in its bin.",
        "",
        *_table("", "ECE", "MCE"),
        _row("without temperature", _spread(one["before"]["ece"]), _spread(one["before"]["mce"])),
        _row("with temperature", _spread(one["after"]["ece"]), _spread(one["after"]["mce"])),
    ]
    return [*lines, "", *_plot("Reliability diagram", folder, "reliability")]


def selective(found: Found, folder: str) -> list[str]:
    one = found["selective"]
    whole, chosen = one["curve"][-1], one["chosen"]
    lines = [
        "## `uncertain`",
        "",
        "Scores of the utterances with the highest confidence. An event is called uncertain if its probability is",
        f"below a threshold that keeps {one['stated_coverage']:g} % of dev.",
        f"Area under the risk-coverage curve: {_spread(one['aurc'])} %.",
        "",
        *_table("", "coverage", "accuracy", "weighted F1", "macro F1"),
        _row("all", *(_spread(whole[key]) for key in ("coverage", "accuracy", *_BOTH))),
        _row("not uncertain", *(_spread(chosen[key]) for key in ("coverage", "accuracy", *_BOTH))),
    ]
    return [*lines, "", *_plot("Scores by coverage; dots: the threshold in use", folder, "selective")]


def frontier(found: Found, folder: str) -> list[str]:
    chosen = found["frontier"]["chosen"]
    taus = ", ".join(f"{tau:g}" for tau in chosen["tau"])
    lines = [
        "## Frequent and rare classes",
        "",
        "Decisions are the argmax of logits − tau · log prior; a larger tau moves them towards rare classes.",
        f"The tau of each seed was chosen on dev: {taus}.",
        "",
    ]
    return [*lines, *_plot("Weighted and macro F1 by tau", folder, "frontier")]


def asr_corrupted(found: Found, folder: str) -> list[str]:
    rows = found["misheard"]
    if not rows:
        return []
    lines = [
        "## Errors of speech recognition",
        "",
        "Words of the current and the past turns are corrupted at a nominal rate (substitutions by similar-sounding",
        "words, deletions, insertions). Even at 0 the text has neither case nor punctuation.",
        "",
        *_table("nominal rate", "word error rate", "weighted F1", "macro F1", "loss of weighted F1"),
    ]
    for row in rows:
        name = "as written" if row["asked"] is None else f"{row['asked']:g}"
        lost = _interval(row["loss"]["weighted_f1"]) if "loss" in row else ""
        lines.append(_row(name, f"{row['word_error_rate']:.1f}", *_f1(row), lost))
    return [*lines, "", *_plot("F1 by word error rate", folder, "misheard")]


def maps(found: Found, folder: str) -> list[str]:
    rows = [_row(name, f"{one['silhouette']:.3f}") for name, one in found["maps"].items()]
    lines = [
        "## Maps of the states",
        "",
        "The first two principal components of the fused latent and of the graph's output, for the seed that is best",
        "on dev, coloured by label. The silhouette (−1 to 1) is that of all dimensions.",
        "",
        *_table("", "silhouette"),
    ]
    return [*lines, *rows, "", *_plot("States of the network", folder, "maps")]


def confusion(found: Found, folder: str) -> list[str]:
    title = f"Confusion matrix of `{found['groups'][0]['name']}`"
    return [f"## {title}", "", "Sum over seeds.", "", *_plot("Confusion matrix", folder, "confusion")]


SECTIONS = (
    groups,
    targets,
    trained,
    against,
    rare,
    modalities,
    context,
    calibration,
    selective,
    frontier,
    asr_corrupted,
    maps,
    confusion,
)


def _name(group: Found) -> str:
    notes = ["by argmax"] if group["decisions"] == "argmax" else []
    if group["later"] is None:
        notes.append("uses all later utterances")
    elif group["later"]:
        notes.append(f"uses {group['later']} later utterance{'s' * (group['later'] > 1)}")
    return f"{group['name']} ({', '.join(notes)})" if notes else str(group["name"])


def _reached(one: Found) -> str:
    if one["reached"] is None:
        return ""
    if "low" in one:
        return f"{one['reached']:.1f} ({one['low']:+.1f} to {one['high']:+.1f})"
    return f"{one['reached']:.1f} ± {one['sd']:.1f}"


def _table(*headings: str) -> list[str]:
    return [_row(*headings), _row(*["---"] * len(headings))]


def _row(*cells: str) -> str:
    return "| " + " | ".join(cells) + " |"


def _f1(row: Found) -> Sequence[str]:
    return [_spread(row[key]) for key in _BOTH]


def _spread(value: dict[str, float]) -> str:
    return f"{value['mean']:.1f} ± {value['sd']:.1f}"


def _interval(value: dict[str, float]) -> str:
    return f"{value['difference']:+.2f} ({value['low']:+.2f} to {value['high']:+.2f})"


def _plot(title: str, folder: str, name: str) -> list[str]:
    return [f"![{title}]({folder}/{name}.png)", ""]
