"""What are the accuracy and cost of the expression network on FER2013's PublicTest, compared with two public networks?

    python bench/expression.py [--json] [--weights FOLDER]

All three run on onnxruntime with one thread, one face at a time. The public ones are files in CBERL_SHARED/models
(default: ../shared): fer2013_mini_xception.onnx (grey 64x64) and faceapi_expression.onnx (RGB 112x112). Their published
accuracies are on other parts of FER2013. Also measured: the time to detect a face.
"""

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from cberl.checkpoint import WEIGHTS
from cberl.data.fer2013 import PUBLIC_TEST, TO_MELD, TRAINING, Faces, read_fer2013
from cberl.encoders.expression import ExpressionEncoder
from cberl.encoders.face import CascadeDetector, YuNetDetector, cut_out, find_boxes
from cberl.labels import MELD
from cberl.metrics import score
from cberl.onnx import open_session
from cberl.types import Float32

SHARED = Path(os.environ.get("CBERL_SHARED", Path(__file__).parents[2] / "shared"))
Read = Callable[[NDArray[np.uint8]], Float32]
# The order of each public network's probabilities.
MINI_XCEPTION = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
FACE_API = ("neutral", "happy", "sad", "angry", "fear", "disgust", "surprise")


def ours(weights: Path) -> Read:
    encoder = ExpressionEncoder(weights)
    return lambda face: encoder.encode(face[None])[1][0]


def mini_xception(models: Path) -> Read:
    def prepare(face: NDArray[np.uint8]) -> Float32:
        return (cv2.resize(face, (64, 64)).astype(np.float32) / 127.5 - 1)[None, None]

    return _public(models / "fer2013_mini_xception.onnx", "gray", prepare, MINI_XCEPTION)


def face_api(models: Path) -> Read:
    def prepare(face: NDArray[np.uint8]) -> Float32:
        return np.repeat(cv2.resize(face, (112, 112)).astype(np.float32)[None, None], 3, axis=1)  # (1, 3, 112, 112)

    return _public(models / "faceapi_expression.onnx", "rgb", prepare, FACE_API)


def _public(path: Path, name: str, prepare: Read, order: tuple[str, ...]) -> Read:
    session = open_session(path)
    columns = [order.index(next(theirs for theirs, ours in TO_MELD.items() if ours == label)) for label in MELD]

    def read(face: NDArray[np.uint8]) -> Float32:
        (probabilities,) = session.run(["probs"], {name: prepare(face)})
        reordered: Float32 = probabilities[0][columns]
        return reordered

    return read


def measure(weights: Path) -> dict[str, Any]:
    """Scores and milliseconds per face; the networks alternate at each face, so that other load affects all equally."""
    data, models = SHARED / "data", SHARED / "models"
    file = data / "fer2013/fer2013_jpeg.npz"
    faces = read_fer2013(file, PUBLIC_TEST)
    seen = {picture.tobytes() for picture in read_fer2013(file, TRAINING).pixels}
    fresh = np.array([picture.tobytes() not in seen for picture in faces.pixels])
    readers = {
        "ours": (ours(weights), weights / "expression.onnx"),
        "mini-Xception": (mini_xception(models), models / "fer2013_mini_xception.onnx"),
        "face-api.js": (face_api(models), models / "faceapi_expression.onnx"),
    }
    answers: dict[str, list[int]] = {name: [] for name in readers}
    costs: dict[str, list[float]] = {name: [] for name in readers}
    for picture in faces.pixels:
        for name, (read, _) in readers.items():
            started = time.perf_counter()
            answers[name].append(int(read(picture).argmax()))
            costs[name].append(1e3 * (time.perf_counter() - started))
    rows = {
        name: _row(faces, np.array(answers[name]), fresh)
        | {"ms_per_face": round(median(costs[name]), 3), "megabytes": round(path.stat().st_size / 1e6, 2)}
        for name, (_, path) in readers.items()
    }
    return {"faces": len(faces), "also_in_training": int((~fresh).sum()), "rows": rows, "detection_ms": _detection()}


def _row(faces: Faces, predicted: NDArray[np.int64], fresh: NDArray[np.bool_]) -> dict[str, Any]:
    scores = score(faces.labels, predicted, MELD)
    return {
        "accuracy": round(scores.accuracy, 2),
        "accuracy_without_copies": round(score(faces.labels[fresh], predicted[fresh], MELD).accuracy, 2),
        "macro_f1": round(scores.macro_f1, 2),
        "f1": {label: round(float(f1), 1) for label, f1 in zip(MELD, scores.f1, strict=True)},
    }


def _detection() -> dict[str, float]:
    """Median milliseconds to detect and crop the face in a 640x360 frame."""
    with av.open(str(SHARED / "data/faces/pyfeat_single_face.mp4")) as container:
        frames = [frame.to_ndarray(format="rgb24") for frame in container.decode(video=0)][::4]
    detectors = {
        "cascade": CascadeDetector(),
        "YuNet": YuNetDetector(SHARED / "models/face_detection_yunet.onnx"),
    }
    costs: dict[str, list[float]] = {name: [] for name in detectors}
    for frame in frames:
        for name, detector in detectors.items():
            started = time.perf_counter()
            for box in find_boxes(detector, frame)[:1]:
                cut_out(frame, box)
            costs[name].append(1e3 * (time.perf_counter() - started))
    return {name: round(median(taken), 1) for name, taken in costs.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true", help="one JSON object instead of a table")
    parser.add_argument("--weights", type=Path, default=WEIGHTS / "expression", help="folder of the expression network")
    wanted = parser.parse_args()
    if not (SHARED / "data").is_dir():
        raise SystemExit(f"no data at {SHARED / 'data'}: set CBERL_SHARED to the folder that holds data/ and models/")
    cv2.setNumThreads(1)
    result = measure(wanted.weights)
    if wanted.json:
        print(json.dumps(result))
        return
    table = Table(title=f"{result['faces']} faces of PublicTest, {result['also_in_training']} of them also in Training")
    for heading in ("network", "accuracy, %", "without copies, %", "macro F1", "ms per face", "MB"):
        table.add_column(heading, justify="left" if heading == "network" else "right")
    for name, row in result["rows"].items():
        figures = ("accuracy", "accuracy_without_copies", "macro_f1", "ms_per_face", "megabytes")
        table.add_row(name, *(f"{row[figure]:g}" for figure in figures))
    Console().print(table)
    Console().print("detecting a face in 640x360, ms:", result["detection_ms"])


if __name__ == "__main__":
    main()
