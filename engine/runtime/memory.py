"""When a GPU or the machine has no memory left."""

import sys
from collections.abc import Callable
from typing import TypeVar

Req = TypeVar("Req")
Res = TypeVar("Res")


def is_out_of_memory(error: BaseException) -> bool:
    """CTranslate2 and PyTorch raise RuntimeError with such a message."""
    return isinstance(error, MemoryError) or "out of memory" in str(error)


def releasing_memory(run: Callable[[list[Req]], list[Res]], requests: list[Req]) -> list[Res]:
    """`run(requests)`. Where there is not enough memory, PyTorch returns what it has kept for later to the GPU."""
    try:
        return run(requests)
    except Exception as error:
        torch = sys.modules.get("torch")  # on a CPU the engine runs without it
        if torch is not None and is_out_of_memory(error) and torch.cuda.is_initialized():
            torch.cuda.empty_cache()
        raise
