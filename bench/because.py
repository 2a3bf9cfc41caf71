"""Have the turns that moved an emotion also caused it? `because` against the causes that people marked in RECCON.

    python bench/because.py [--cache FOLDER] [--json]

Reads data/emotion_text/reccon.jsonl.gz in CBERL_SHARED (default: ../shared). A case is a turn of a test dialogue with
a labelled emotion other than neutral, at least two earlier turns, and a cause among those that the bundled network
attends to. Each rule ranks these earlier turns. recall@1: percent of cases in which the first is a cause; MRR: mean
reciprocal rank of the best-ranked cause, in percent. `recognised`: cases whose emotion the network got right. The
factor of the last rules was chosen on training dialogues, which no other figure depends on.

Then the cost: a step with `because` beside one without, interleaved, on one thread, medians.
"""

import argparse
import json
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from hashlib import sha256
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from cberl.checkpoint_files import STARTER
from cberl.data.dialogue import held_out
from cberl.data.json_lines import read_json_lines
from cberl.encoders.bundle import TEXT_ENCODER
from cberl.encoders.text import TextEncoder
from cberl.live_checkpoint import LiveCheckpoint, load_live_checkpoint
from cberl.model import CBERL, Batch
from cberl.step.influence import MAX_INFLUENCES
from cberl.step.state import ConversationState, StepInput, initial_state
from cberl.storage import fingerprint, replacing
from cberl.types import Float32
from engine.conversation.classifier import GraphRequest, run_graph

DATA = Path(os.environ.get("CBERL_SHARED", Path(__file__).parents[2] / "shared")) / "data/emotion_text/reccon.jsonl.gz"
WITH_FACTOR = ("because, by size", "probability of the emotion in the earlier turn")
TRAINING_DIALOGUES = 0.06  # share of them that the factor is chosen on
FACTORS = (0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)  # for each turn that lies farther back

Scores = NDArray[np.floating]  # of K earlier turns, the latest first; the highest is the first
Turn = dict[str, Any]  # a line of the corpus


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """`causes`: distances from 1; `scores` by rule."""

    causes: set[int]
    recognised: bool
    scores: dict[str, Scores]


class Network:
    """The bundled one: as the live engine runs it and, for the shares of its attention, in PyTorch."""

    def __init__(self, cache: Path) -> None:
        """`cache`: folder for the vectors of texts, so that a run that was stopped can be continued."""
        self.checkpoint: LiveCheckpoint = load_live_checkpoint(STARTER)
        self.labels, self.past = self.checkpoint.config.labels, self.checkpoint.config.past
        self._text = TextEncoder(TEXT_ENCODER)
        self._model = CBERL.from_pretrained(STARTER).eval()
        self._cache = cache / f"because-{fingerprint(TEXT_ENCODER / 'text.onnx')[:12]}"
        self._cache.mkdir(parents=True, exist_ok=True)
        self._shares: list[Scores] = []
        for layer in self._model.graph:
            layer.register_message_forward_hook(self._keep_shares)

    def _keep_shares(self, layer: object, arguments: Any, weighted: torch.Tensor) -> None:
        """A message is the source's value times the share of attention, which is found by division: (E, heads, D)."""
        value = arguments[0]["value_j"]
        share = (weighted * value).sum(-1) / (value * value).sum(-1)
        self._shares.append(share.mean(-1).numpy())

    def vector(self, earlier: Sequence[Turn], turn: Turn) -> Float32:
        past = [(it["speaker"], it["text"]) for it in earlier]
        said = self._text.prompt.build(past, turn["speaker"], turn["text"])
        file = self._cache / f"{sha256(np.array(said.ids).tobytes()).hexdigest()}.npy"
        if not file.exists():
            with replacing(file) as unfinished, unfinished.open("wb") as stream:
                np.save(stream, self._text.encode([said])[0])
        vector: Float32 = np.load(file)
        return vector

    def next_state(self, state: ConversationState, turn: Turn, vector: Float32) -> tuple[Float32, ConversationState]:
        """The logits, and the state after the turn."""
        (logits,), (after,) = self.checkpoint.network.step([state], [StepInput(turn["speaker"], {"text": vector})])
        return logits, after

    def edges_left_out(self, state: ConversationState, turn: Turn, vectors: Sequence[Float32]) -> Scores:
        """What the winning logit loses without the edges from each earlier turn.

        `vectors`: of the turn and, for each earlier one, of the turn as the text encoder reads it then.
        """
        inputs = [StepInput(turn["speaker"], {"text": vector}, ignored=n) for n, vector in enumerate(vectors)]
        logits, _ = self.checkpoint.network.step([state] * len(inputs), inputs)
        winner = int(self.checkpoint.calibration.decide(logits[:1].astype(np.float64))[0])
        return logits[0, winner] - logits[1:, winner]

    @torch.inference_mode()
    def attention(self, turns: Sequence[Turn], vectors: Sequence[Float32]) -> dict[tuple[int, int], float]:
        """By turn and distance: the share of attention, mean over heads and layers."""
        x = {name: torch.zeros(len(turns), dim) for name, dim in self._model.config.modality_dims.items()}
        x["text"] = torch.from_numpy(np.stack(vectors))
        present = {name: torch.full((len(turns),), name == "text") for name in x}
        names = {name: n for n, name in enumerate({it["speaker"]: None for it in turns})}
        speaker = torch.tensor([names[it["speaker"]] for it in turns])
        self._shares.clear()
        edges = self._model(Batch(x, present, speaker, torch.tensor([len(turns)]))).edges[0]
        places = zip(edges.edge_index[1].tolist(), edges.distance.tolist(), strict=True)
        return dict(zip(places, np.mean(self._shares, axis=0).tolist(), strict=True))


def cases(turns: Sequence[Turn], network: Network, *, words: bool) -> list[Case]:
    """Of one dialogue. `words`: also with the words left out, which takes runs of the text encoder."""
    states, logits = [initial_state(network.checkpoint.config)], []
    vectors = [network.vector(turns[:n], turn) for n, turn in enumerate(turns)]
    for turn, vector in zip(turns, vectors, strict=True):
        one, after = network.next_state(states[-1], turn, vector)
        logits.append(one)
        states.append(after)
    probabilities = network.checkpoint.calibration.probabilities(np.array(logits, np.float64))
    attention = network.attention(turns, vectors)
    found = []
    for n, turn in enumerate(turns):
        distances = range(1, min(n, network.past, MAX_INFLUENCES) + 1)
        causes = {n + 1 - cause for cause in turn["cause"] or () if isinstance(cause, int)} & set(distances)
        if turn["meld"] in (None, "neutral") or not causes or len(distances) < 2:
            continue
        winner = int(probabilities[n].argmax())
        edges = network.edges_left_out(states[n], turn, [vectors[n]] * (1 + len(distances)))
        scores = {
            "previous turn": -np.arange(len(distances)),
            "same speaker's previous turn": np.array(
                [float(turns[n - d]["speaker"] == turn["speaker"]) for d in distances]
            ),
            "attention": np.array([attention[n, d] for d in distances]),
            "because (edges left out)": edges,
            "because, by size": np.abs(edges),
            "probability of the emotion in the earlier turn": probabilities[[n - d for d in distances], winner],
        }
        if words:
            without = [network.vector([*turns[: n - d], *turns[n - d + 1 : n]], turn) for d in distances]
            both = network.edges_left_out(states[n], turn, [vectors[n], *without])
            scores |= {"edges and words left out": both, "edges and words left out, by size": np.abs(both)}
        found.append(Case(causes, network.labels[winner] == turn["meld"], scores))
    return found


def recall_and_mrr(found: Iterable[Case], scores: Callable[[Case], Scores]) -> tuple[float, float]:
    """In percent. Of equal scores, the later turn is first."""
    ranks = []
    for case in found:
        order = (np.argsort(-scores(case), kind="stable") + 1).tolist()
        ranks.append(min(order.index(cause) + 1 for cause in case.causes))
    return 100 * float(np.mean(np.array(ranks) == 1)), 100 * float(np.mean(1 / np.array(ranks)))


def with_factor(rule: str, factor: float) -> Callable[[Case], Scores]:
    def scores(case: Case) -> Scores:
        given = case.scores[rule]
        weighted: Scores = given * factor ** np.arange(len(given))
        return weighted

    return scores


def compare(path: Path, cache: Path) -> dict[str, Any]:
    dialogues: dict[str, list[Turn]] = defaultdict(list)
    for _, turn in read_json_lines(path):
        dialogues[turn["dialogue"]].append(turn)
    parts = {
        name: [it for it in dialogues if dialogues[it][0]["split"] == f"reccon_{name}"] for name in ("train", "test")
    }
    chosen_on = held_out(parts["train"], TRAINING_DIALOGUES)
    network = Network(cache)
    train = [case for name in chosen_on for case in cases(_ordered(dialogues[name]), network, words=False)]
    test = [case for name in parts["test"] for case in cases(_ordered(dialogues[name]), network, words=True)]
    rules: dict[str, Callable[[Case], Scores]] = {name: partial(_scores, name) for name in test[0].scores}
    for name in WITH_FACTOR:
        factor = max(FACTORS, key=lambda it, name=name: recall_and_mrr(train, with_factor(name, it))[0])
        rules[f"{name}, times {factor:g} per turn back"] = with_factor(name, factor)
    recognised = [case for case in test if case.recognised]
    rows = []
    for name, rule in rules.items():
        recall, mrr = recall_and_mrr(test, rule)
        right = recall_and_mrr(recognised, rule)[0]
        rows.append(
            {"rule": name, "recall_at_1": _one(recall), "mrr": _one(mrr), "recall_at_1_recognised": _one(right)}
        )
    return {
        "dialogues": len(parts["test"]),
        "cases": len(test),
        "of_them_recognised": len(recognised),
        "training_cases_for_factors": len(train),
        "rules": rows,
    }


def _ordered(turns: list[Turn]) -> list[Turn]:
    return sorted(turns, key=lambda it: it["turn"])


def _scores(rule: str, case: Case) -> Scores:
    return case.scores[rule]


def _one(percent: float) -> float:
    return round(percent, 1)


def cost(rounds: int) -> dict[str, float]:
    """Of a turn with eight earlier ones, in the function that the live engine calls."""
    checkpoint, random = load_live_checkpoint(STARTER), np.random.default_rng(0)
    state = initial_state(checkpoint.config)
    request = GraphRequest(state, StepInput("a", {}))
    for n in range(checkpoint.config.past + 2):
        x = {name: random.normal(size=dim).astype(np.float32) for name, dim in checkpoint.config.modality_dims.items()}
        request = GraphRequest(state, StepInput(f"speaker-{n % 2}", x))
        state = run_graph(checkpoint, [request])[0].state
    taken: dict[bool, list[float]] = {False: [], True: []}
    for explain in (False, True) * (rounds + 5):
        best = min(_timed_ms(checkpoint, replace(request, explain=explain)) for _ in range(5))
        taken[explain].append(best)
    step, explained = (median(taken[explain][5:]) for explain in (False, True))
    return {"step_ms": round(step, 4), "with_because_ms": round(explained, 4), "ratio": round(explained / step, 2)}


def _timed_ms(checkpoint: LiveCheckpoint, request: GraphRequest) -> float:
    started = time.perf_counter()
    run_graph(checkpoint, [request])
    return (time.perf_counter() - started) * 1e3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--cache", type=Path, default=Path("cache"), help="folder of encoded texts (default: cache)")
    parser.add_argument("--rounds", type=int, default=200, help="rounds of five steps of each kind (default: 200)")
    wanted = parser.parse_args()
    if not DATA.is_file():
        raise SystemExit(f"no data at {DATA}: set CBERL_SHARED to the folder that holds data/")
    torch.set_num_threads(1)
    with threadpool_limits(1):
        result = {"cost": cost(wanted.rounds), **compare(DATA, wanted.cache)}
    if wanted.json:
        print(json.dumps(result))
        return
    table = Table(*(name.replace("_", " ") for name in result["rules"][0]))
    for row in result.pop("rules"):
        table.add_row(*map(str, row.values()))
    Console().print(table, result)


if __name__ == "__main__":
    main()
