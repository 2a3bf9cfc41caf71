"""Types and constants of sound that every package shares."""

import numpy as np
from numpy.typing import NDArray

SAMPLE_RATE = 16_000  # Hz, of all audio after it was read

Float32 = NDArray[np.float32]
