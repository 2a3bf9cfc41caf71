"""The scores that the speech emotion and expression networks pass on to CBERL: log-ratios of their probabilities."""

import numpy as np
from numpy.typing import NDArray

from cberl.labels import MELD
from cberl.types import Float32

SCORES_DIM = len(MELD)
FLOOR = 0.01  # probabilities below it are raised to it: so small a difference is not reliable


def log_ratio_scores(probabilities: NDArray[np.floating]) -> Float32:
    """float32[..., 7]: the centred log-ratio (Aitchison 1982) of probabilities [..., 7]; 0 where all are equal.

    CBERL reads these seven scores instead of the networks' hidden vectors: learnt from few speakers and faces, they
    transfer better to others, and they do not identify a person.
    """
    logs = np.log(np.maximum(probabilities, FLOOR))
    centred: Float32 = (logs - logs.mean(axis=-1, keepdims=True)).astype(np.float32)
    return centred
