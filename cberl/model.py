"""CBERL on whole dialogues: fuse, context, graph, head. `cberl.streaming` runs the same network utterance by utterance.

A causal reconstruction from the abstract and figures of "Deep Imbalanced Learning for Multimodal Emotion Recognition in
Conversations" (arXiv 2312.06337). What only training needs is in `cberl.training.core.objective`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cberl.config import ModelConfig
from cberl.graph import Edges, window_edges
from cberl.nn.comparison import ComparisonAttention
from cberl.nn.context import Context
from cberl.nn.fusion import Fused, JointFusion, Modalities, Present
from cberl.nn.heads import EmotionHead
from cberl.nn.relational import RelationalAttention
from cberl.pretrained import Pretrained


@dataclass(frozen=True, slots=True, eq=False)
class Batch:
    """Utterances of one or more dialogues: rows of a dialogue lie together, in the order spoken.

    x: (N, dim) a modality; present: bool[N] a modality; speaker: int[N], equal within a dialogue = same person;
    lengths: int[B], utterances a dialogue.
    """

    x: Modalities
    present: Present
    speaker: Tensor
    lengths: Tensor

    @property
    def dialogue(self) -> Tensor:
        """int[N]: which dialogue each row belongs to."""
        return torch.repeat_interleave(torch.arange(len(self.lengths), device=self.lengths.device), self.lengths)


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """logits (N, classes), and what they were read from, for whoever looks inside or adds a loss.

    context, node (what enters the graph) and graph (what leaves it) are (N, hidden); edges has an entry a graph layer.
    """

    logits: Tensor
    fused: Fused
    context: Tensor
    node: Tensor
    graph: Tensor
    edges: Sequence[Edges]


class CBERL(Pretrained):
    """The network. Batch of dialogues in, logits for every utterance out; no utterance sees a later one.

    Unless its config says `offline` or grants a `lookahead`.
    """

    def __init__(self, config: ModelConfig) -> None:
        super().__init__(config)
        self.fusion = JointFusion(config.modality_dims, config.latent_dim, config.dropout, skip=config.skip)
        self.input_dropout = nn.Dropout(config.dropout)
        self.context = Context(config.latent_dim, config.hidden_dim, bidirectional=config.direction == "offline")
        self.to_graph = nn.Linear(config.latent_dim + config.hidden_dim, config.hidden_dim)
        self.graph = nn.ModuleList(graph_layer(config, future) for future in config.futures)
        self.head = EmotionHead(config.hidden_dim, len(config.labels), config.dropout)

    def forward(self, batch: Batch, *, draw: bool = False) -> Output:
        """With `draw`, which only training wants, z is drawn from the joint posterior instead of being its mean."""
        fused = self.fusion(batch.x, batch.present, draw=draw)
        z = self.input_dropout(fused.z)
        context = self.context(z, batch.lengths)
        node = self.node(z, context)
        edges = self.edges(batch)
        graph = self.propagate(node, edges)
        return Output(self.head(context, graph), fused, context, node, graph, edges)

    def node(self, z: Tensor, context: Tensor) -> Tensor:
        """What enters the graph: (N, latent), (N, hidden) -> (N, hidden)."""
        entered: Tensor = self.to_graph(torch.cat([z, context], dim=-1))
        return entered

    def edges(self, batch: Batch) -> list[Edges]:
        """The edges of each graph layer."""
        dialogue, past = batch.dialogue, self.config.past
        by_future = {f: window_edges(dialogue, batch.speaker, past, f) for f in set(self.config.futures)}
        return [by_future[future] for future in self.config.futures]

    def propagate(self, node: Tensor, edges: Sequence[Edges]) -> Tensor:
        """Through the graph: (N, hidden) -> (N, hidden)."""
        for layer, own in zip(self.graph, edges, strict=True):
            node = layer(node, *own)
        return node


def graph_layer(config: ModelConfig, future: int) -> nn.Module:
    """A graph layer of the configured kind, whose utterances see `future` later ones."""
    shape = (config.hidden_dim, config.heads, config.past, future, config.dropout)
    if config.graph == "relational":
        return RelationalAttention(*shape)
    return ComparisonAttention(config.graph, *shape)
