"""An environment in which packages are not installed, for processes of their own."""

# What `pip install cberl-engine` leaves out: no part of the live engine on a CPU may import it.
EXTRAS = (
    "torch",
    "torchaudio",
    "torch_geometric",
    "transformers",
    "onnx",
    "cv2",
    "matplotlib",
    "tensorboard",
    "ray",
    "scipy",
)


def without(*packages: str) -> str:
    """Python that runs first in a process, after which importing these packages fails as if they were not there."""
    return f"""
import importlib.abc, sys
class Missing(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {set(packages)!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
sys.meta_path.insert(0, Missing())
"""
