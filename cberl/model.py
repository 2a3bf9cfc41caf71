"""CBERL on whole dialogues: fusion, context, graph, head. `cberl.streaming` runs the same network step by step.

A causal reconstruction from the abstract and figures of "Deep Imbalanced Learning for Multimodal Emotion Recognition in
Conversations" (arXiv 2312.06337). The parts that only training needs are in `cberl.training.core.objective`.
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
    """Utterances of one or more dialogues; rows of a dialogue are adjacent, in the order spoken.

    x: (N, dim) per modality; present: bool[N] per modality; speaker: int[N], equal within a dialogue = same person;
    lengths: int[B], utterances per dialogue.
    """

    x: Modalities
    present: Present
    speaker: Tensor
    lengths: Tensor

    @property
    def dialogue(self) -> Tensor:
        """int[N]: the dialogue of each row."""
        return torch.repeat_interleave(torch.arange(len(self.lengths), device=self.lengths.device), self.lengths)


@dataclass(frozen=True, slots=True, eq=False)
class Output:
    """logits (N, classes), and the intermediate states, for losses and for inspection.

    context, node (input of the graph) and graph (its output) are (N, hidden); edges has one entry per graph layer.
    """

    logits: Tensor
    fused: Fused
    context: Tensor
    node: Tensor
    graph: Tensor
    edges: Sequence[Edges]


class CBERL(Pretrained):
    """The network: a batch of dialogues in, logits for every utterance out.

    No utterance depends on a later one, unless the config has the direction `offline` or a `lookahead`.
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
        """With `draw`, which is for training, z is sampled from the joint posterior instead of being its mean."""
        fused = self.fusion(batch.x, batch.present, draw=draw)
        z = self.input_dropout(fused.z)
        context = self.context(z, batch.lengths)
        node = self.node(z, context)
        edges = self.edges(batch)
        graph = self.propagate(node, edges)
        return Output(self.head(context, graph), fused, context, node, graph, edges)

    def node(self, z: Tensor, context: Tensor) -> Tensor:
        """The input of the graph: (N, latent), (N, hidden) -> (N, hidden)."""
        entered: Tensor = self.to_graph(torch.cat([z, context], dim=-1))
        return entered

    def edges(self, batch: Batch) -> list[Edges]:
        """The edges of each graph layer."""
        dialogue, past = batch.dialogue, self.config.past
        by_future = {f: window_edges(dialogue, batch.speaker, past, f) for f in set(self.config.futures)}
        return [by_future[future] for future in self.config.futures]

    def propagate(self, node: Tensor, edges: Sequence[Edges]) -> Tensor:
        """The output of the graph: (N, hidden) -> (N, hidden)."""
        for layer, own in zip(self.graph, edges, strict=True):
            node = layer(node, *own)
        return node


def graph_layer(config: ModelConfig, future: int) -> nn.Module:
    """A graph layer of the configured kind, whose utterances attend to `future` later ones."""
    shape = (config.hidden_dim, config.heads, config.past, future, config.dropout)
    if config.graph == "relational":
        return RelationalAttention(*shape)
    return ComparisonAttention(config.graph, *shape)
