"""Products of matrices in int8: as near to float32 as int8 allows, for each row by itself, exact in their sums."""

from pathlib import Path

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from cberl.onnx import open_session
from cberl.training.int8 import float_weights, quantise

RNG = np.random.default_rng(0)
TABLE, LARGE, SMALL = (RNG.normal(size=size).astype(np.float32) for size in ((300, 256), (256, 300), (32, 16)))
GRAPH = (
    helper.make_node("Gather", ["table", "rows"], ["found"]),
    helper.make_node("MatMul", ["x", "factor"], ["y"]),
    helper.make_node("MatMul", ["x", "both"], ["y_of_both"]),
    helper.make_node("Add", ["both", "one"], ["kept"]),
    helper.make_node("MatMul", ["narrow", "small"], ["y_of_small"]),
)


@pytest.fixture
def network(tmp_path: Path) -> Path:
    """An embedding, a product, a matrix that is also added to another, and a small product, quantised."""
    given = [
        helper.make_tensor_value_info("rows", TensorProto.INT64, ["n"]),
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 256]),
        helper.make_tensor_value_info("narrow", TensorProto.FLOAT, ["batch", 32]),
    ]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.FLOAT, ["rows", "columns"])
        for name in ("found", "y", "y_of_both", "kept", "y_of_small")
    ]
    weights = {"table": TABLE, "factor": LARGE, "both": LARGE, "small": SMALL, "one": np.float32(1)}
    constants = [numpy_helper.from_array(values, name) for name, values in weights.items()]
    graph = helper.make_graph(GRAPH, "test", given, outputs, constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "float.onnx")
    quantise(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    return tmp_path / "int8.onnx"


def outputs_of(network: Path, x: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
    session = open_session(network)
    found = session.run(None, {"rows": np.array([3, 0, 299]), "x": x, "narrow": x[:, :32]})
    return dict(zip([one.name for one in session.get_outputs()], found, strict=True))


def test_results_are_near_those_of_float32(network: Path) -> None:
    x = RNG.normal(size=(5, 256)).astype(np.float32) + 2
    found = outputs_of(network, x)
    assert np.abs(found["found"] - TABLE[[3, 0, 299]]).max() < 0.6 * np.abs(TABLE).max() / 127
    assert np.abs(found["y"] - x @ LARGE).max() < 0.01 * np.abs(x @ LARGE).max()
    np.testing.assert_allclose(found["y_of_both"], x @ LARGE, rtol=1e-3, atol=1e-3)  # used in two ways: stays float32
    np.testing.assert_array_equal(found["kept"], LARGE + 1)
    np.testing.assert_allclose(found["y_of_small"], x[:, :32] @ SMALL, rtol=1e-4, atol=1e-4)
    assert network.stat().st_size < 0.7 * network.with_name("float.onnx").stat().st_size


def test_a_row_has_the_same_result_in_any_batch(network: Path) -> None:
    quiet = RNG.normal(size=(1, 256)).astype(np.float32)
    loud = np.concatenate([quiet, 1000 * quiet, np.zeros_like(quiet)])
    together = outputs_of(network, loud)["y"]
    np.testing.assert_array_equal(together[:1], outputs_of(network, quiet)["y"])
    np.testing.assert_array_equal(together[2], np.zeros(300))


def test_results_are_those_of_a_processor_without_vnni_instructions(
    network: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = RNG.normal(size=(5, 256)).astype(np.float32)
    here = outputs_of(network, x)
    monkeypatch.setattr("cberl.onnx.multiplies_int8_exactly", lambda: False)
    for name, values in outputs_of(network, x).items():
        np.testing.assert_allclose(values, here[name], rtol=1e-5, atol=1e-5)


def test_sums_do_not_saturate(tmp_path: Path) -> None:
    """All factors are the largest: pairs of products are above 16 bits on processors without VNNI instructions."""
    ones = np.ones((256, 256), np.float32)
    given, output = (helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n", 256]) for name in "xy")
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "ones"], ["y"])],
        "test",
        [given],
        [output],
        [numpy_helper.from_array(ones, "ones")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    onnx.save(model, tmp_path / "float.onnx")
    quantise(tmp_path / "float.onnx", tmp_path / "int8.onnx")
    x = np.ones((1, 256), np.float32)
    x[0, 0] = 0  # the lowest of the row
    np.testing.assert_allclose(open_session(tmp_path / "int8.onnx").run(None, {"x": x})[0], np.full((1, 256), 255.0))


def test_weights_are_read_back_also_from_exports_of_an_earlier_form(network: Path) -> None:
    model = onnx.load(network)
    found = float_weights(model)
    for name, values in (("table", TABLE), ("factor", LARGE), ("both", LARGE), ("small", SMALL)):
        np.testing.assert_allclose(found[name], values, atol=0.6 * np.abs(values).max() / 127)
    for one in model.graph.initializer:
        if one.name in ("table.scale", "factor.scale"):
            one.CopyFrom(numpy_helper.from_array(numpy_helper.to_array(one).ravel(), one.name))
    for name, values in float_weights(model).items():
        np.testing.assert_array_equal(values.ravel(), found[name].ravel())
