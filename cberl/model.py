"""CBERL on whole dialogues: fuse, context, graph, head. `cberl.streaming` runs the same network utterance by utterance.

A causal reconstruction from the abstract and figures of "Deep Imbalanced Learning for Multimodal Emotion Recognition in
Conversations" (arXiv 2312.06337).
"""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from cberl.config import ModelConfig
from cberl.graph import past_edges
from cberl.nn.context import CausalContext
from cberl.nn.fusion import JointFusion, Modalities, Posterior, Present
from cberl.nn.heads import EmotionHead
from cberl.nn.relational import RelationalAttention


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
    """logits (N, classes); z, context and graph states (N, .) for whoever looks inside or adds a loss."""

    logits: Tensor
    z: Tensor
    posterior: Posterior
    context: Tensor
    graph: Tensor


class CBERL(nn.Module):
    """The network. Batch of dialogues in, logits for every utterance out; no utterance sees a later one."""

    def __init__(self, config: ModelConfig) -> None:
        super().__init__()
        self.config = config
        self.fusion = JointFusion(config.modality_dims, config.latent_dim, config.dropout, skip=config.skip)
        self.input_dropout = nn.Dropout(config.dropout)
        self.context = CausalContext(config.latent_dim, config.hidden_dim)
        self.to_graph = nn.Linear(config.latent_dim + config.hidden_dim, config.hidden_dim)
        self.graph = nn.ModuleList(
            RelationalAttention(config.hidden_dim, config.heads, config.past, config.dropout)
            for _ in range(config.graph_layers)
        )
        self.head = EmotionHead(config.hidden_dim, len(config.labels), config.dropout)

    def forward(self, batch: Batch) -> Output:
        z, posterior = self.fusion(batch.x, batch.present)
        z = self.input_dropout(z)
        context = self.context(z, batch.lengths)
        edges = past_edges(batch.dialogue, batch.speaker, self.config.past)
        node = self.node(z, context)
        for layer in self.graph:
            node = layer(node, *edges)
        return Output(self.head(context, node), z, posterior, context, node)

    def node(self, z: Tensor, context: Tensor) -> Tensor:
        """What enters the graph: (N, latent), (N, hidden) -> (N, hidden)."""
        entered: Tensor = self.to_graph(torch.cat([z, context], dim=-1))
        return entered
