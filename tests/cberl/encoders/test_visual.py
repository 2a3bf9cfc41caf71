import numpy as np

from cberl.encoders.visual import NoVisual, VisualEncoder


def test_seeing_nothing_is_absence_and_not_zeros():
    encoder: VisualEncoder = NoVisual()
    assert encoder.dim == 0
    assert encoder.describe([]) is None
    assert encoder.describe([np.zeros((48, 48, 3), np.uint8)]) is None
