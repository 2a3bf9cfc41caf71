"""What a network's probabilities say for each label: the form in which one network's opinion enters another."""

import numpy as np
from numpy.typing import NDArray

from cberl.encoders.frames import Float32
from cberl.labels import MELD

EVIDENCE_DIM = len(MELD)
FLOOR = 0.01  # beneath it a network is sure beyond what it can know


def evidence(probabilities: NDArray[np.floating]) -> Float32:
    """float32[..., 7]: the centred log-ratio (Aitchison 1982) of probabilities [..., 7]; 0 where all are equal.

    Opinions, not the networks' inner vectors: seven numbers learned from few voices and faces carry over to others,
    and nobody is known again by them.
    """
    logs = np.log(np.maximum(probabilities, FLOOR))
    centred: Float32 = (logs - logs.mean(axis=-1, keepdims=True)).astype(np.float32)
    return centred
