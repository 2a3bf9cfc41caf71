"""What is the cost of one more utterance by the length of the conversation, with streaming and by recomputation?

    python bench/step.py [--json]

Times `cberl.streaming.step` at conversation lengths 10, 100 and 1000, and the recomputation of the whole dialogue with
`CBERL.forward`, interleaved in one run. One thread, the shape of the starter, medians.
"""

import argparse
import json
import time
from collections.abc import Callable
from statistics import median

import torch
from rich.console import Console
from rich.table import Table

from cberl.config import ModelConfig
from cberl.model import CBERL, Batch
from cberl.streaming import ConversationState, StepInput, initial_state, step

LENGTHS = (10, 100, 1000)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--rounds", type=int, default=200, help="timed steps per length (default: 200)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    rows = measure(args.rounds)
    flatness = max(row["step_ms"] for row in rows) / min(row["step_ms"] for row in rows)
    if args.json:
        print(json.dumps({"rows": rows, "flatness": round(flatness, 3)}))
        return
    table = Table(title=f"one more utterance; longest / shortest step = {flatness:.2f}")
    for heading in ("conversation length", "step, ms", "whole dialogue, ms", "whole / step"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(*(f"{value:g}" for value in row.values()))
    Console().print(table)


def measure(rounds: int) -> list[dict[str, float]]:
    torch.manual_seed(0)
    model = CBERL(ModelConfig()).eval()
    states = {length: talked(model, length) for length in LENGTHS}
    batches = {length: dialogue(model, length + 1) for length in LENGTHS}
    steps: dict[int, list[float]] = {length: [] for length in LENGTHS}
    wholes: dict[int, list[float]] = {length: [] for length in LENGTHS}
    one = utterance(model, 0)
    for done in range(rounds + 10):  # the first ten warm up
        for length in LENGTHS:
            taken = timed_ms(lambda state=states[length]: step(model, [state], [one]))  # type: ignore[misc]
            if done >= 10:
                steps[length].append(taken)
            if done >= 10 and done % 10 == 0:
                wholes[length].append(timed_ms(lambda batch=batches[length]: whole(model, batch)))  # type: ignore[misc]
    return [
        {
            "length": length,
            "step_ms": round(median(steps[length]), 3),
            "whole_ms": round(median(wholes[length]), 3),
            "ratio": round(median(wholes[length]) / median(steps[length]), 2),
        }
        for length in LENGTHS
    ]


def talked(model: CBERL, length: int) -> ConversationState:
    """The state of a conversation of this length."""
    state = initial_state(model)
    for at in range(length):
        _, (state,) = step(model, [state], [utterance(model, at)])
    return state


def utterance(model: CBERL, at: int) -> StepInput:
    return StepInput(f"speaker-{at % 2}", {name: torch.randn(dim) for name, dim in model.config.modality_dims.items()})


def dialogue(model: CBERL, length: int) -> Batch:
    x = {name: torch.randn(length, dim) for name, dim in model.config.modality_dims.items()}
    present = {name: torch.ones(length, dtype=torch.bool) for name in x}
    return Batch(x, present, torch.arange(length) % 2, torch.tensor([length]))


@torch.inference_mode()
def whole(model: CBERL, batch: Batch) -> None:
    model(batch)


def timed_ms(call: Callable[[], object]) -> float:
    started = time.perf_counter()
    call()
    return (time.perf_counter() - started) * 1e3


if __name__ == "__main__":
    main()
