"""What is the cost of one more utterance, by the length of the conversation and by the size of the batch?

    python bench/step.py [--json]

Times, interleaved in random order in one run, on one thread, with the bundled network: the step of the live engine on a
CPU (`cberl.step`, ONNX), the same step in PyTorch (`cberl.streaming`), and the whole dialogue again (`CBERL.forward`).
Medians. The floor is what this machine takes for the step's arithmetic, one large product of matrices with as many
multiplications, or for reading its weights from memory, whichever is longer.
"""

import argparse
import json
import time
from collections.abc import Callable, Iterable
from statistics import median
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from threadpoolctl import threadpool_limits

from cberl.checkpoint_files import STARTER
from cberl.config import ModelConfig
from cberl.live_checkpoint import load_live_checkpoint
from cberl.model import CBERL, Batch
from cberl.step.state import ConversationState, StepInput, StepNetwork, initial_state
from cberl.streaming import TorchStep

LENGTHS, WHOLE_LENGTHS = (10, 100, 1000, 10_000), (10, 100, 1000)
BATCHES = (1, 4, 16, 64)
RANDOM = np.random.default_rng(0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of tables")
    parser.add_argument("--rounds", type=int, default=100, help="rounds of five steps of each kind (default: 100)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with threadpool_limits(1):
        found = measure(args.rounds)
    if args.json:
        print(json.dumps(found))
        return
    title = f"one more utterance; longest / shortest = {found['flatness']:g}"
    show(title, ("conversation length", "step, ms", "in PyTorch, ms", "whole dialogue, ms"), found["lengths"])
    title = f"conversations at once; throughput of {BATCHES[-1]} / of 1 = {found['batch_gain']:g}"
    headings = ("batch", "step, ms", "in PyTorch, ms", "PyTorch / step", "floor, ms", "step / floor")
    show(title, headings, found["batches"])


def show(title: str, headings: Iterable[str], rows: list[dict[str, Any]]) -> None:
    table = Table(title=title)
    for heading in headings:
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*("" if value is None else f"{value:g}" for value in row.values()))
    Console().print(table)


def measure(rounds: int) -> dict[str, Any]:
    model = CBERL.from_pretrained(STARTER)
    live, pytorch = load_live_checkpoint(STARTER).network, TorchStep(model)
    states = {length: talked(live, length) for length in LENGTHS}
    dialogues = {n: dialogue(model, n + 1) for n in WHOLE_LENGTHS}
    one = utterance(model.config, 0)
    times = interleaved(
        rounds,
        {("step", n): lambda state=state: live.step([state], [one]) for n, state in states.items()}
        | {("torch", n): lambda state=state: pytorch.step([state], [one]) for n, state in states.items()}
        | {("whole", n): lambda batch=batch: whole(model, batch) for n, batch in dialogues.items()},
    )
    lengths = [{"length": n} | {kind: times.get((kind, n)) for kind in ("step", "torch", "whole")} for n in LENGTHS]
    state, weights = states[LENGTHS[0]], sum(parameter.numel() for parameter in model.parameters())
    kinds: tuple[tuple[str, StepNetwork], ...] = (("step", live), ("torch", pytorch))
    times = interleaved(
        rounds,
        {
            (kind, n): lambda network=network, n=n: network.step([state] * n, [one] * n)
            for kind, network in kinds
            for n in BATCHES
        }
        | {("arithmetic", n): product(weights, n) for n in BATCHES}
        | {("memory", n): reading(weights) for n in BATCHES},
    )
    batches = []
    for n in BATCHES:
        step, torch_step = times["step", n], times["torch", n]
        floor = max(times["arithmetic", n], times["memory", n])
        batches.append(
            {
                "batch": n,
                "step": step,
                "torch": torch_step,
                "gain": round(torch_step / step, 1),
                "floor": floor,
                "over_floor": round(step / floor, 2),
            }
        )
    each = [row["step"] for row in lengths]
    return {
        "lengths": lengths,
        "flatness": round(max(each) / min(each), 3),
        "batches": batches,
        "batch_gain": round(BATCHES[-1] * times["step", 1] / times["step", BATCHES[-1]], 1),
        "weights": weights,
    }


def interleaved(rounds: int, calls: dict[tuple[str, int], Callable[[], object]]) -> dict[tuple[str, int], float]:
    """The median over rounds of the best of five calls in a row, in ms, so that the caches are the call's own.

    Whole dialogues are timed once, in one round of ten.
    """
    taken: dict[tuple[str, int], list[float]] = {key: [] for key in calls}
    for done in range(rounds + 2):  # the first two warm up
        for key in sorted(calls, key=lambda _: RANDOM.random()):  # what ran before changes a call's time
            call = calls[key]
            if key[0] == "whole" and done % 10:
                continue
            best = min(timed_ms(call) for _ in range(1 if key[0] == "whole" else 5))
            if done >= 2 or key[0] == "whole":
                taken[key].append(best)
    return {key: round(median(values), 4) for key, values in taken.items()}


def timed_ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


def product(weights: int, batch: int) -> Callable[[], object]:
    """As many multiplications as a step of this batch: each weight once per conversation."""
    width = 512
    left, right = (RANDOM.normal(size=shape).astype(np.float32) for shape in ((batch, weights // width), (1, width)))
    right = np.ascontiguousarray(np.broadcast_to(right, (weights // width, width)))
    return lambda: left @ right


def reading(weights: int) -> Callable[[], object]:
    values = RANDOM.normal(size=weights).astype(np.float32)
    return values.max


def talked(network: StepNetwork, length: int) -> ConversationState:
    """The state of a conversation of this length."""
    state = initial_state(network.config)
    for at in range(length):
        _, (state,) = network.step([state], [utterance(network.config, at)])
    return state


def utterance(config: ModelConfig, at: int) -> StepInput:
    x = {name: RANDOM.normal(size=dim).astype(np.float32) for name, dim in config.modality_dims.items()}
    return StepInput(f"speaker-{at % 2}", x)


def dialogue(model: CBERL, length: int) -> Batch:
    x = {name: torch.randn(length, dim) for name, dim in model.config.modality_dims.items()}
    present = {name: torch.ones(length, dtype=torch.bool) for name in x}
    return Batch(x, present, torch.arange(length) % 2, torch.tensor([length]))


@torch.inference_mode()
def whole(model: CBERL, batch: Batch) -> None:
    model(batch)


if __name__ == "__main__":
    main()
