"""The array types and the sample rate that all audio in this project shares."""

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Float64 = NDArray[np.float64]
Int64 = NDArray[np.int64]

SAMPLE_RATE = 16_000  # Hz; audio is mono float32 in -1..1
