"""Where a network runs. PyTorch is imported only where a GPU may be used."""

import ctranslate2

from cberl.checkpoint_files import CheckpointError


def resolve_device(wanted: str) -> str:
    """ "cpu", "cuda", or for "auto" the GPU if PyTorch is installed and sees one. Raises `CheckpointError` for "cuda"
    without both.
    """
    if wanted == "cpu":
        return wanted
    if wanted == "auto" and not ctranslate2.get_cuda_device_count():
        return "cpu"  # known without PyTorch, which takes seconds to import
    try:
        import torch
    except ModuleNotFoundError as error:
        if wanted == "auto":
            return "cpu"
        raise CheckpointError("device cuda needs PyTorch: pip install 'cberl-engine[gpu]'") from error
    if torch.cuda.is_available():
        return "cuda"
    if wanted == "cuda":
        raise CheckpointError("device cuda was asked for, but PyTorch sees no GPU here: use --device auto or cpu")
    return "cpu"
