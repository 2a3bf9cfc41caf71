"""One step of the network as an ONNX graph: what `cberl.model` computes for the newest utterance of a conversation.

Relational attention is rearranged, so that its cost hardly grows with the window. `cberl.nn.relational` multiplies
every utterance of the window by the key and value matrices of every relation. Here the query is multiplied by the key
matrices, and the weighted sum of the window by the value matrices, once each:

    q . (K_r h_j) = (K_r^T q) . h_j        sum_j a_j (V_r h_j) = V_r (sum_j a_j h_j)

A 1 is appended to each h, so that the matrices hold their bias, too.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cberl.config import ModelConfig
from cberl.errors import train_extra
from cberl.step.state import CAUSAL_RELATIONS
from cberl.types import Float32

Weights = Mapping[str, Float32]  # by the names of `CBERL.state_dict`
OPSET, IR_VERSION = 20, 10  # the first with Gelu; read by onnxruntime 1.18 and later


def exportable(config: ModelConfig) -> bool:
    """Whether `step_graph` can be made of such a network; the layers for comparison run with PyTorch alone."""
    return config.streams and config.graph == "relational"


def step_graph(config: ModelConfig, weights: Weights) -> bytes:
    """The ONNX file of a causal network with relational attention. Equal networks give equal bytes.

    Inputs: one (B, dim) per modality; `present` (modalities, B, 1), 1.0 or 0.0; `hidden` (B, hidden); `layers`
    (layers, B, P, hidden); `relation` int64[B, P], a `Relation` or -1. Outputs: `logits` (B, classes), and the next
    `hidden` and `layers`. Raises `TrainingError` where the package onnx is not installed.
    """
    with train_extra():
        from onnx import TensorProto, checker, helper
    graph = _Graph(weights)
    batch, width, past, depth = "batch", config.hidden_dim, config.past, config.graph_layers
    float32 = TensorProto.FLOAT

    z = _fusion(graph, config)
    context = _gru(graph, z)
    node = graph.linear(graph("Concat", z, context, axis=1), "to_graph")
    edges = _edge_mask(graph) if depth else ""
    kept = []
    for layer in range(depth):
        node, window = _attention(graph, config, layer, node, edges)
        kept.append(window)
    head = graph.linear(graph("Concat", context, node, axis=1), "head.body.0")
    graph("Identity", graph.linear(graph("Gelu", head), "head.body.3"), to="logits")
    graph("Identity", context, to="next_hidden")
    outputs = [
        helper.make_tensor_value_info("logits", float32, [batch, len(config.labels)]),
        helper.make_tensor_value_info("next_hidden", float32, [batch, width]),
    ]
    inputs = [helper.make_tensor_value_info(name, float32, [batch, dim]) for name, dim in config.modality_dims.items()]
    inputs += [
        helper.make_tensor_value_info("present", float32, [len(inputs), batch, 1]),
        helper.make_tensor_value_info("hidden", float32, [batch, width]),
    ]
    if depth:
        graph("Concat", *kept, axis=0, to="next_layers")
        outputs.append(helper.make_tensor_value_info("next_layers", float32, [depth, batch, past, width]))
        inputs += [
            helper.make_tensor_value_info("layers", float32, [depth, batch, past, width]),
            helper.make_tensor_value_info("relation", TensorProto.INT64, [batch, past]),
        ]
    made = helper.make_model(
        helper.make_graph(graph.nodes, "step", inputs, outputs, graph.constants),
        producer_name="cberl",
        opset_imports=[helper.make_opsetid("", OPSET)],
        ir_version=IR_VERSION,
    )
    checker.check_model(made, full_check=True)
    written: bytes = made.SerializeToString(deterministic=True)
    return written


class _Graph:
    """Nodes and constants of an ONNX graph in the making. Calling it adds a node and returns the name of its output."""

    def __init__(self, weights: Weights) -> None:
        self.weights = weights
        self.nodes: list[Any] = []
        self.constants: list[Any] = []

    def __call__(self, kind: str, *inputs: str, to: str = "", outputs: int = 1, **attributes: Any) -> Any:
        """With `outputs` above 1, a list of names."""
        from onnx import helper

        names = [to] if to else [f"{kind}_{len(self.nodes)}_{n}" for n in range(outputs)]
        self.nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names[0] if outputs == 1 else names

    def constant(self, values: NDArray[Any] | Sequence[int] | float) -> str:
        """int64 for whole numbers, else float32."""
        from onnx import numpy_helper

        array = np.asarray(values)
        array = array.astype(np.int64 if array.dtype.kind in "iu" else np.float32)
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(array, name))
        return name

    def linear(self, x: str, layer: str, scale: float = 1.0) -> str:
        """(N, in) -> (N, out), times `scale`."""
        return self.gemm(x, f"{layer}.weight", f"{layer}.bias", scale)

    def gemm(self, x: str, weight: str, bias: str, scale: float = 1.0) -> str:
        factor = np.float32(scale)
        columns, row = self.constant(self.weights[weight].T * factor), self.constant(self.weights[bias] * factor)
        return str(self("Gemm", x, columns, row))

    def norm(self, x: str, layer: str) -> str:
        scale, bias = (self.constant(self.weights[f"{layer}.{part}"]) for part in ("weight", "bias"))
        return str(self("LayerNormalization", x, scale, bias, axis=-1, epsilon=1e-5))

    def reshape(self, x: str, *shape: int) -> str:
        """0 keeps a dimension, -1 is what is left."""
        return str(self("Reshape", x, self.constant(shape)))


def _fusion(graph: _Graph, config: ModelConfig) -> str:
    """`cberl.nn.fusion`, without drawing: (B, dim) per modality -> (B, latent)."""
    names = list(config.modality_dims)
    hidden = []
    for name in names:
        expert = f"fusion.experts.{name}.body"
        x = graph.norm(name, f"{expert}.0") if f"{expert}.0.weight" in graph.weights else name
        activated = graph("Gelu", graph.linear(x, f"{expert}.1"))
        weight = [graph.weights[f"fusion.experts.{name}.{part}.weight"].T for part in ("mean", "log_variance")]
        bias = [graph.weights[f"fusion.experts.{name}.{part}.bias"] for part in ("mean", "log_variance")]
        if config.skip:
            weight.append(graph.weights[f"fusion.skips.{name}.weight"].T)
            bias.append(np.zeros(config.latent_dim, np.float32))
        # A product for each modality: onnxruntime rearranges the weights of one of all modalities at every step.
        parts = graph(
            "Gemm", activated, graph.constant(np.concatenate(weight, axis=1)), graph.constant(np.concatenate(bias))
        )
        hidden.append(graph("Unsqueeze", parts, graph.constant([0])))
    joined = graph("Concat", *hidden, axis=0)  # (M, B, 2 or 3 times latent)
    sizes = graph.constant([config.latent_dim] * len(weight))
    mean, log_variance, *skip = graph("Split", joined, sizes, outputs=len(weight), axis=2)
    limits = [graph.constant(limit) for limit in (-6.0, 6.0)]
    precision = graph("Exp", graph("Neg", graph("Clip", log_variance, *limits)))
    precision = graph("Mul", precision, "present")
    modalities = graph.constant([0])
    total = graph("ReduceSum", precision, modalities, keepdims=0)
    total = graph("Add", total, graph.constant(1.0))  # the prior's
    weighted = graph("ReduceSum", graph("Mul", precision, mean), modalities, keepdims=0)
    latent = graph("Div", weighted, total)
    if not skip:
        return str(latent)
    beside = graph("ReduceSum", graph("Mul", skip[0], "present"), modalities, keepdims=0)
    return str(graph("Add", latent, beside))


def _gru(graph: _Graph, z: str) -> str:
    """PyTorch's GRU cell: (B, latent) -> the next hidden, (B, hidden)."""
    given, kept = (
        graph.gemm(x, f"context.gru.weight_{part}_l0", f"context.gru.bias_{part}_l0")
        for x, part in ((z, "ih"), ("hidden", "hh"))
    )
    width = graph.weights["context.gru.weight_hh_l0"].shape[1]
    sizes = graph.constant([2 * width, width])
    given_gates, given_new = graph("Split", given, sizes, outputs=2, axis=1)
    kept_gates, kept_new = graph("Split", kept, sizes, outputs=2, axis=1)
    gates = graph("Sigmoid", graph("Add", given_gates, kept_gates))
    reset, update = graph("Split", gates, graph.constant([width, width]), outputs=2, axis=1)
    new = graph("Tanh", graph("Add", given_new, graph("Mul", reset, kept_new)))
    return str(graph("Add", new, graph("Mul", update, graph("Sub", "hidden", new))))


def _edge_mask(graph: _Graph) -> str:
    """bool (B, 1, R, P + 1): whether the utterance in this place of the window has this relation."""
    row = graph("Pad", "relation", graph.constant([0, 0, 0, 1]), graph.constant(0))  # the newest: SELF
    relations = graph.constant(np.arange(CAUSAL_RELATIONS).reshape(1, 1, -1, 1))
    return str(graph("Equal", graph("Unsqueeze", row, graph.constant([1, 2])), relations))


def _attention(graph: _Graph, config: ModelConfig, layer: int, node: str, edges: str) -> tuple[str, str]:
    """(B, hidden) -> the layer's output, (B, hidden), and its next window, (1, B, P, hidden)."""
    width, heads, past, relations = config.hidden_dim, config.heads, config.past, CAUSAL_RELATIONS
    size, at = width // heads, f"graph.{layer}"
    before = graph("Gather", "layers", graph.constant(layer), axis=0)  # (B, P, H)
    rows = graph("Concat", before, graph("Unsqueeze", node, graph.constant([1])), axis=1)  # (B, P + 1, H)
    window = graph("Slice", rows, graph.constant([1]), graph.constant([past + 1]), graph.constant([1]))
    normed = graph.norm(rows, f"{at}.norm")
    one = graph.constant(1.0)
    h = graph("Pad", normed, graph.constant([0, 0, 0, 0, 0, 1]), one)  # (B, P + 1, H + 1)
    own = graph("Gather", normed, graph.constant(past), axis=1)  # (B, H)

    query = graph.reshape(graph.linear(own, f"{at}.query", scale=1 / math.sqrt(size)), 0, heads, size)
    keys, values = (_by_head(graph.weights, f"{at}.{part}", relations, heads) for part in ("key", "value"))
    query = graph("MatMul", graph("Transpose", query, perm=[1, 0, 2]), graph.constant(keys))  # (heads, B, R * (H + 1))
    query = graph.reshape(graph("Transpose", query, perm=[1, 0, 2]), 0, heads * relations, width + 1)
    scores = graph("MatMul", query, graph("Transpose", h, perm=[0, 2, 1]))  # (B, heads * R, P + 1)
    scores = graph.reshape(scores, 0, heads, relations, past + 1)
    bias = graph.weights[f"{at}.bias"][:, ::-1]  # (R, P + 1, heads), from the oldest place on
    scores = graph("Add", scores, graph.constant(bias.transpose(2, 0, 1)))
    scores = graph("Where", edges, scores, graph.constant(-math.inf))
    share = graph("Softmax", graph.reshape(scores, 0, heads, relations * (past + 1)), axis=-1)
    mixed = graph("MatMul", graph.reshape(share, 0, heads * relations, past + 1), h)  # (B, heads * R, H + 1)
    mixed = graph("Transpose", graph.reshape(mixed, 0, heads, relations * (width + 1)), perm=[1, 0, 2])
    mixed = graph("MatMul", mixed, graph.constant(values.transpose(0, 2, 1)))  # (heads, B, size)
    mixed = graph.reshape(graph("Transpose", mixed, perm=[1, 0, 2]), 0, width)
    return graph("Add", node, graph.linear(mixed, f"{at}.out")), graph("Unsqueeze", window, graph.constant([0]))


def _by_head(weights: Weights, layer: str, relations: int, heads: int) -> Float32:
    """A linear layer to every relation and head, with its bias in the last column: (heads, size, R * (H + 1))."""
    both = np.concatenate([weights[f"{layer}.weight"], weights[f"{layer}.bias"][:, None]], axis=1)
    parts = both.reshape(relations, heads, -1, both.shape[1])  # (R, heads, size, H + 1)
    joined: Float32 = parts.transpose(1, 2, 0, 3).reshape(heads, parts.shape[2], -1)
    return joined
