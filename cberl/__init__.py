"""CBERL: emotion recognition in conversations, causal and multimodal. Knows nothing of sockets or sessions."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cberl.model import CBERL

__all__ = ["CBERL"]


def __getattr__(name: str) -> object:
    """`from cberl import CBERL` loads PyTorch; `import cberl.labels` must not."""
    if name == "CBERL":
        from cberl.model import CBERL

        return CBERL
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
