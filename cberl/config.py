"""The configuration of a CBERL network and of its training. Stored as JSON beside its weights."""

from dataclasses import dataclass, field
from math import isfinite
from typing import Literal

from cberl.labels import MELD

Direction = Literal["causal", "offline"]
GraphKind = Literal["relational", "rgat", "gatv2"]


# Far beyond every sensible network: a larger one is a damaged or hostile file.
LIMITS = {
    "text_dim": (0, 8192),
    "audio_dim": (0, 8192),
    "visual_dim": (0, 8192),
    "latent_dim": (1, 4096),
    "hidden_dim": (1, 4096),
    "heads": (1, 64),
    "graph_layers": (0, 16),
    "past": (0, 256),
    "lookahead": (0, 256),
}
MAX_LABELS, MAX_LABEL = 256, 64


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Two networks with equal configs have equal shapes. Raises `ValueError` for an impossible network."""

    labels: tuple[str, ...] = MELD
    text_dim: int = 384  # 0 = the network does not have the modality, and ignores it in its input
    audio_dim: int = 8
    visual_dim: int = 0
    latent_dim: int = 128  # size of z, the joint latent of an utterance
    hidden_dim: int = 128  # size of the context and graph states
    heads: int = 4  # attention heads of the graph layers
    graph_layers: int = 2
    past: int = 8  # P: how many earlier utterances an utterance attends to in the graph
    skip: bool = True  # skip connections of the projected modalities past the bottleneck
    dropout: float = 0.3
    direction: Direction = "causal"  # "offline": bidirectional context, and edges from P later utterances as well
    lookahead: int = 0  # f: how many later utterances a causal network waits for; above 0 it cannot stream
    graph: GraphKind = "relational"  # "rgat" and "gatv2" are PyG's layers, for comparison

    def __post_init__(self) -> None:
        for name, (least, most) in LIMITS.items():
            value = getattr(self, name)
            if type(value) is not int or not least <= value <= most:
                raise ValueError(f"{name} is a whole number from {least} to {most}, not {value!r:.40}")
        if not 2 <= len(self.labels) <= MAX_LABELS or len(set(self.labels)) < len(self.labels):
            raise ValueError(f"labels are 2 to {MAX_LABELS} different names, not {len(self.labels)}")
        if not all(isinstance(label, str) and 1 <= len(label) <= MAX_LABEL for label in self.labels):
            raise ValueError(f"a label is a name of 1 to {MAX_LABEL} characters")
        if not (isinstance(self.dropout, int | float) and isfinite(self.dropout) and 0 <= self.dropout < 1):
            raise ValueError(f"dropout is from 0 to below 1, not {self.dropout!r:.40}")
        if self.direction not in ("causal", "offline"):
            raise ValueError(f'direction is "causal" or "offline", not {self.direction!r}')
        if self.graph not in ("relational", "rgat", "gatv2"):
            raise ValueError(f'graph is "relational", "rgat" or "gatv2", not {self.graph!r}')
        if self.lookahead < 0 or (self.lookahead and self.direction == "offline"):
            raise ValueError("lookahead is 0 or more, and 0 for an offline network, which attends to all utterances")
        if self.lookahead and not self.graph_layers:
            raise ValueError("lookahead needs a graph layer: later utterances are attended to through its edges")
        if self.hidden_dim % self.heads:
            raise ValueError(f"hidden_dim {self.hidden_dim} cannot be split into {self.heads} heads")
        if self.direction == "offline" and self.hidden_dim % 2:
            raise ValueError(f"hidden_dim {self.hidden_dim} cannot be split into two directions")

    @property
    def modality_dims(self) -> dict[str, int]:
        """The size of each modality that this network reads."""
        dims = {"text": self.text_dim, "audio": self.audio_dim, "visual": self.visual_dim}
        return {name: dim for name, dim in dims.items() if dim}

    @property
    def streams(self) -> bool:
        """Whether no utterance depends on a later one, so that the network can run utterance by utterance."""
        return self.direction == "causal" and self.lookahead == 0

    @property
    def futures(self) -> tuple[int, ...]:
        """How many later utterances each graph layer attends to.

        With lookahead f it is f in the first layer and 0 in the others: f in each of L layers would make an utterance
        depend on L * f later ones.
        """
        if self.direction == "offline":
            return (self.past,) * self.graph_layers
        return (self.lookahead, *(0 for _ in range(self.graph_layers - 1)))[: self.graph_layers]


@dataclass(frozen=True, slots=True)
class TrainConfig:
    epochs: int = 60
    batch_dialogues: int = 16
    learning_rate: float = 5e-4
    weight_decay: float = 1e-2
    patience: int = 12  # training stops after so many epochs without a better dev score
    focal_gamma: float = 0.0  # 0 = plain cross-entropy
    class_weight_power: float = 0.25  # class weights are frequency^-power; 0 = none
    modality_dropout: float = 0.3  # probability that an utterance loses a modality; it never loses all of them
    feature_noise: float = 0.3  # sd of Gaussian noise on present features, in units of each feature's own sd
    label_smoothing: float = 0.0
    vae_weight: float = 0.0  # of the variational terms, with which z is sampled in training; 0 = off, z is the mean
    beta: float = 0.01  # weight of the KL to the prior, relative to reconstruction
    alpha: float = 0.01  # weight of the KL to each present modality's own posterior, likewise
    mask_weight: float = 0.0  # of masked node reconstruction; 0 = off
    mask_rate: float = 0.5  # share of a batch's utterances that are masked
    mask_power: float = 1.0  # masked in proportion to class frequency^-power: 0 = uniform, 1 = inverse frequency
    mask_gamma: float = 2.0  # exponent of the scaled cosine error
    contrastive_weight: float = 0.0  # of the supervised contrastive term; 0 = off
    contrastive_temperature: float = 0.1
    shift_weight: float = 0.0  # of detecting whether the speaker's emotion changed; 0 = off
    ema_decay: float = 0.0  # per step, of the exponential moving average of the weights; 0 = no average
    coverage: float = 0.9  # share of dev utterances that is not called uncertain; 1 = none is
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
