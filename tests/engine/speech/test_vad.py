from pathlib import Path

import numpy as np
import pytest

from cberl.checkpoint_files import STARTER
from cberl.types import Float32
from engine.speech.vad import WINDOW, SileroVad, VadError, VadRequest, VadState, find_models
from testing.live_engine import demo


def sounds(seed: int, windows: int) -> Float32:
    """Noise under a slow swell, float32[windows, 512]: it drives the network through its range."""
    rng = np.random.default_rng(seed)
    time = np.arange(windows * WINDOW) / 16_000
    buzz = np.sign(np.sin(2 * np.pi * (120 + 30 * seed) * time)) * (0.2 + 0.2 * np.sin(2 * np.pi * 3 * time))
    return (buzz + rng.normal(size=len(time)) * 0.02).astype(np.float32).reshape(windows, WINDOW)  # (n, 512)


@pytest.mark.parametrize("model", find_models(), ids=lambda path: path.stem)
def test_a_result_never_depends_on_its_batch_nor_on_how_the_windows_were_grouped(model: Path) -> None:
    vad = SileroVad(model)
    requests = [VadRequest(VadState(), sounds(n, length)) for n, length in enumerate((40, 1, 0, 17, 40))]
    together = vad.run(requests)
    for request, result in zip(requests, together, strict=True):
        (alone,) = vad.run([request])
        np.testing.assert_array_equal(alone.probabilities, result.probabilities)
        state, pieces = VadState(), []
        for window in request.windows:
            (piece,) = vad.run([VadRequest(state, window[None])])
            state = piece.state
            pieces.append(piece.probabilities[0])
        np.testing.assert_array_equal(np.array(pieces, np.float32), result.probabilities)
        np.testing.assert_array_equal(state.recurrent, result.state.recurrent)
        np.testing.assert_array_equal(state.context, result.state.context)
    assert vad.run([]) == []


def test_a_missing_or_wrong_model_is_one_clear_error(tmp_path: Path) -> None:
    wrong = tmp_path / "vad.onnx"
    with pytest.raises(VadError, match=r"no Silero VAD network at .*vad\.onnx"):
        SileroVad(wrong)
    wrong.write_bytes(b"not a network")
    with pytest.raises(VadError, match=r"vad\.onnx is not an ONNX network"):
        SileroVad(wrong)
    other = STARTER / "step.onnx"
    with pytest.raises(VadError, match=r"step\.onnx is not a Silero VAD network"):
        SileroVad(other)


def test_the_network_for_machines_without_the_other_one_finds_the_same_speech() -> None:
    pcm = demo()[0]
    windows = pcm[: len(pcm) // WINDOW * WINDOW].reshape(-1, WINDOW)
    one, other = (SileroVad(path).run([VadRequest(VadState(), windows)])[0] for path in find_models())
    assert np.mean((one.probabilities > 0.5) == (other.probabilities > 0.5)) > 0.95
