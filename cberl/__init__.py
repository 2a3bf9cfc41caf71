"""CBERL: causal, multimodal emotion recognition in conversations. Independent of the engine and its transports."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cberl.model import CBERL

__all__ = ["CBERL"]


def __getattr__(name: str) -> object:
    """Imports PyTorch only for `from cberl import CBERL`, so that `import cberl.labels` stays fast."""
    if name == "CBERL":
        from cberl.model import CBERL

        return CBERL
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
