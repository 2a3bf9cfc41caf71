"""The training objective: classification, and the optional terms of a run's configuration.

The parts that only training needs (decoders, mask tokens, a projection) are here and not in the network: a checkpoint
holds only what inference uses. A term with weight 0 has neither parameters nor cost.
"""

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from cberl.config import TrainConfig
from cberl.data.features import FeatureSet
from cberl.graph import same_speaker_pairs
from cberl.losses import (
    class_weights,
    focal_loss,
    gaussian_kl,
    masked_mean,
    prior_kl,
    scaled_cosine_error,
    supervised_contrastive,
)
from cberl.model import CBERL, Batch, Output, graph_layer
from cberl.nn.heads import ContrastiveHead, ModalityDecoders, ShiftHead
from cberl.nn.masking import MaskedReconstruction, choose_nodes


@dataclass(frozen=True, slots=True)
class FeatureScale:
    """Mean and standard deviation of a modality's features, (dim,) each, over the rows that have it."""

    mean: Tensor
    sd: Tensor

    @staticmethod
    def of(features: FeatureSet, name: str) -> "FeatureScale":
        rows = features.x[name][features.present[name]]
        if len(rows) < 2:
            return FeatureScale(torch.zeros(features.x[name].shape[1]), torch.zeros(features.x[name].shape[1]))
        return FeatureScale(rows.mean(0), rows.std(0))


class Objective(nn.Module):
    """(network, clean batch, batch with dropout and noise, labels) -> each term, before weighting."""

    def __init__(self, config: TrainConfig, counts: Tensor, scales: dict[str, FeatureScale]) -> None:
        """counts: training utterances per class, int[C]; scales: by modality."""
        super().__init__()
        self.config, shape = config, config.model
        self.register_buffer("class_weight", class_weights(counts, config.class_weight_power))
        self.weights = {"classification": 1.0}
        if config.vae_weight:
            self.decoders = ModalityDecoders(shape.modality_dims, shape.latent_dim)
            for name, scale in scales.items():
                self.register_buffer(f"{name}_mean", scale.mean)
                self.register_buffer(f"{name}_sd", scale.sd.clamp(min=1e-6))
            self.weights |= {
                "reconstruction": config.vae_weight,
                "prior_kl": config.vae_weight * config.beta,
                "expert_kl": config.vae_weight * config.alpha,
            }
        if config.mask_weight:
            future = shape.futures[-1] if shape.futures else 0
            self.masked = MaskedReconstruction(graph_layer(shape, future), shape.hidden_dim, shape.latent_dim)
            self.register_buffer("mask_chance", class_weights(counts, config.mask_power))
            self.weights["masked"] = config.mask_weight
        if config.contrastive_weight:
            self.projection = ContrastiveHead(shape.hidden_dim)
            self.weights["contrastive"] = config.contrastive_weight
        if config.shift_weight:
            self.shift = ShiftHead(shape.hidden_dim)
            self.weights["shift"] = config.shift_weight

    def forward(self, model: CBERL, clean: Batch, shown: Batch, label: Tensor) -> dict[str, Tensor]:
        out = model(shown, draw=bool(self.config.vae_weight))
        terms = {
            "classification": focal_loss(
                out.logits,
                label,
                gamma=self.config.focal_gamma,
                weight=self.get_buffer("class_weight"),
                smoothing=self.config.label_smoothing,
            )
        }
        if self.config.vae_weight:
            terms |= self._variational(out, clean, shown)
        if self.config.mask_weight:
            terms["masked"] = self._masked(model, out, label)
        if self.config.contrastive_weight:
            points = self.projection(out.context, out.graph)
            terms["contrastive"] = supervised_contrastive(points, label, self.config.contrastive_temperature)
        if self.config.shift_weight:
            terms["shift"] = self._shift(clean, out, label)
        return terms

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """The terms, weighted and summed."""
        return torch.stack([self.weights[name] * term for name, term in terms.items()]).sum()

    def _variational(self, out: Output, clean: Batch, shown: Batch) -> dict[str, Tensor]:
        """Reconstructs every present modality from the joint latent, also those that modality dropout removed."""
        terms = {"prior_kl": prior_kl(out.fused.joint).mean()}
        reconstruction, expert_kl = out.logits.new_zeros(()), out.logits.new_zeros(())
        for name, rebuilt in self.decoders(out.fused.latent).items():
            has = clean.present[name]
            target = (clean.x[name] - self.get_buffer(f"{name}_mean")) / self.get_buffer(f"{name}_sd")
            target = target.masked_fill(~has.unsqueeze(-1), 0.0)  # NaN would reach the gradient
            # A mean over dimensions, so that text with hundreds of them does not outweigh audio with eight.
            reconstruction = reconstruction + masked_mean(((rebuilt - target) ** 2).mean(-1), has)
            own = gaussian_kl(out.fused.joint, out.fused.experts[name])
            expert_kl = expert_kl + masked_mean(own, shown.present[name])
        return terms | {"reconstruction": reconstruction, "expert_kl": expert_kl}

    def _masked(self, model: CBERL, out: Output, label: Tensor) -> Tensor:
        """A second pass through the graph, with masked nodes; the classifier uses the first."""
        by_class = self.get_buffer("mask_chance")[label.clamp(min=0)]
        chance = torch.where(label >= 0, by_class, 1.0)  # 1 is the mean over labelled utterances
        masked = choose_nodes(chance, self.config.mask_rate)
        guessed = self.masked(out.node, masked, lambda node: model.propagate(node, out.edges), out.edges[-1])
        return scaled_cosine_error(guessed, out.fused.expected[masked].detach(), self.config.mask_gamma)

    def _shift(self, batch: Batch, out: Output, label: Tensor) -> Tensor:
        """Binary cross-entropy over utterances whose label and that of their speaker's previous one are known."""
        before, after = same_speaker_pairs(batch.dialogue, batch.speaker)
        changed = (label[before] != label[after]).float()
        logits = self.shift(out.context[after], out.graph[after])
        losses = F.binary_cross_entropy_with_logits(logits, changed, reduction="none")
        return masked_mean(losses, (label[before] >= 0) & (label[after] >= 0))
