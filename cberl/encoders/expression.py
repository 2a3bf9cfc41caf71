"""Facial expression recognition by a small network (see `cberl.training.encoders.expression`)."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cberl.encoders.face import FACE_PX
from cberl.onnx import open_network
from cberl.types import Float32


class ExpressionEncoder:
    """Grey faces -> a vector and the probabilities of MELD's seven labels per face. Stateless and thread-safe."""

    def __init__(self, folder: Path, *, threads: int = 1) -> None:
        """`folder` holds `expression.onnx` and `expression.json`. Raises `EncoderError`."""
        self._session, config = open_network(folder, "expression", threads=threads)
        self.labels = tuple(config["labels"])
        self.dim = int(config["dim"]) + len(self.labels)

    def encode(self, faces: NDArray[np.uint8]) -> tuple[Float32, Float32]:
        """uint8[n, 48, 48] -> vectors float32[n, 64] and probabilities float32[n, 7]."""
        if faces.shape[1:] != (FACE_PX, FACE_PX):
            raise ValueError(f"faces must be [n, {FACE_PX}, {FACE_PX}], not {list(faces.shape)}")
        pixels = faces.astype(np.float32)[:, None]  # (n, 48, 48) -> (n, 1, 48, 48)
        vectors, probabilities = self._session.run(["vector", "probabilities"], {"faces": pixels})
        return vectors, probabilities
