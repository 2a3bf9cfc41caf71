"""Networks in ONNX whose products of matrices run in int8: about half the time of float32, a quarter of its size."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from cberl.errors import train_extra

if TYPE_CHECKING:
    from onnx import ModelProto, NodeProto

INT8, SCALE, SUMS = ".int8", ".scale", ".sums"  # suffixes of a weight's name
MIN_SIDE = 256  # matrices without a side of this length stay float32: they take little space and time
DOMAIN, PRODUCT, LOOKUP = "cberl", "Int8Product", "Int8Lookup"

# Each row of activations has a range of its own, so that the result does not depend on the rest of the batch:
# x = scale * stored + lowest, and x @ w = scale * (stored @ w) + lowest * (sums of w's columns).
PRODUCT_BODY = """
<opset_import: ["" : 20], domain: "cberl">
Int8Product (x, weight, weight_scale, weight_sums) => (y) {
  last = Constant <value = int64[1] {-1}> ()
  steps_of_uint8 = Constant <value = float {255.0}> ()
  least = Constant <value = float {1e-12}> ()
  one = Constant <value = float {1.0}> ()
  zero = Constant <value = uint8 {0}> ()
  lowest = ReduceMin <keepdims = 1> (x, last)
  highest = ReduceMax <keepdims = 1> (x, last)
  range = Sub (highest, lowest)
  step = Div (range, steps_of_uint8)
  scale = Max (step, least)
  above = Sub (x, lowest)
  steps = Div (above, scale)
  stored = QuantizeLinear (steps, one, zero)
  sums = MatMulInteger (stored, weight)
  products = Cast <to = 1> (sums)
  of_columns = Mul (products, weight_scale)
  of_rows = Mul (of_columns, scale)
  of_lowest = Mul (lowest, weight_sums)
  y = Add (of_rows, of_lowest)
}
"""

# Only the rows that an input asks for are made float32: the whole table would take a quarter of an encoder's time.
LOOKUP_BODY = """
<opset_import: ["" : 20], domain: "cberl">
Int8Lookup (table, scale, rows) => (y) {
  stored = Gather (table, rows)
  found = Cast <to = 1> (stored)
  found_scale = Gather (scale, rows)
  y = Mul (found, found_scale)
}
"""


def quantise(source: Path, target: Path) -> None:
    """Stores large matrices as int8 with a scale per column (products) or row (embeddings), and multiplies in int8.

    A matrix that is used in another way stays as it is.
    """
    with train_extra():
        import onnx
    from onnx import helper, numpy_helper, parser

    model = onnx.load(source)
    graph = model.graph
    for weight in [one for one in graph.initializer if _is_large(one)]:
        users = [node for node in graph.node if weight.name in node.input]
        stored, scale, sums = (f"{weight.name}{suffix}" for suffix in (INT8, SCALE, SUMS))
        if all(node.op_type == "MatMul" and node.input[1] == weight.name for node in users):
            made = _in_int8(numpy_helper.to_array(weight), axis=0)
            constants = {stored: made.values, scale: made.scale, sums: made.sums}
        elif all(node.op_type == "Gather" and node.input[0] == weight.name for node in users):
            made = _in_int8(numpy_helper.to_array(weight), axis=1)
            constants = {stored: made.values, scale: made.scale}
        else:
            continue
        for node in users:
            if node.op_type == "MatMul":
                kind, given = PRODUCT, [node.input[0], stored, scale, sums]
            else:
                kind, given = LOOKUP, [stored, scale, node.input[1]]
            node.CopyFrom(helper.make_node(kind, given, list(node.output), domain=DOMAIN))
        graph.initializer.remove(weight)
        graph.initializer.extend(numpy_helper.from_array(values, name) for name, values in constants.items())
    model.opset_import.append(helper.make_opsetid(DOMAIN, 1))
    model.functions.extend([parser.parse_function(PRODUCT_BODY), parser.parse_function(LOOKUP_BODY)])
    onnx.checker.check_model(model)
    onnx.save(model, target)


def float_weights(model: "ModelProto") -> dict[str, NDArray[Any]]:
    """All constants by name, those stored as int8 multiplied by their scales."""
    from onnx import numpy_helper

    found = {one.name: numpy_helper.to_array(one) for one in model.graph.initializer}
    for name in [name.removesuffix(INT8) for name in found if name.endswith(INT8)]:
        stored, scale = found[name + INT8], found[name + SCALE]
        if scale.shape == stored.shape[:1] != stored.shape[1:]:  # of an earlier version: without axes of length one
            scale = scale[:, None]
        found[name] = stored.astype(np.float32) * scale
    return found


def factor(node: "NodeProto") -> str:
    """The name of the matrix by which a product multiplies."""
    return str(node.input[1]).removesuffix(INT8)


@dataclass(frozen=True, slots=True)
class _Int8:
    """A matrix with a scale and the sum of its float values, [1, n] or [n, 1], for each column or row."""

    values: NDArray[np.int8]
    scale: NDArray[np.float32]
    sums: NDArray[np.float32]


def _is_large(weight: Any) -> bool:
    from onnx import TensorProto

    return weight.data_type == TensorProto.FLOAT and len(weight.dims) == 2 and max(weight.dims) >= MIN_SIDE


def _in_int8(values: NDArray[Any], axis: int) -> _Int8:
    scale = np.maximum(np.abs(values).max(axis=axis, keepdims=True) / 127, 1e-12).astype(np.float32)
    stored = np.round(values / scale).astype(np.int8)
    return _Int8(stored, scale, stored.sum(axis=axis, keepdims=True, dtype=np.float32) * scale)
