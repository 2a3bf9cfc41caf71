"""What a CBERL network is made of and how it is trained. Stored as JSON beside its weights."""

from dataclasses import dataclass, field
from typing import Literal

from cberl.labels import MELD

Direction = Literal["causal", "offline"]
GraphKind = Literal["relational", "rgat", "gatv2"]


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Frozen: two networks with equal configs have equal shapes. Raises `ValueError` for what no network can be."""

    labels: tuple[str, ...] = MELD
    text_dim: int = 384  # 0 = this network has no such modality: what is given is ignored
    audio_dim: int = 8
    visual_dim: int = 0
    latent_dim: int = 128  # size of z, the joint latent of an utterance
    hidden_dim: int = 128  # size of the context and graph states
    heads: int = 4  # attention heads of the graph layers
    graph_layers: int = 2
    past: int = 8  # P: how many earlier utterances an utterance sees in the graph
    skip: bool = True  # let the projected modalities pass beside the bottleneck
    dropout: float = 0.3
    direction: Direction = "causal"  # "offline" sees the whole dialogue: bidirectional context, edges from P later ones
    lookahead: int = 0  # f: how many later utterances a causal network may wait for; above 0 it cannot stream
    graph: GraphKind = "relational"  # "rgat" and "gatv2" are PyG's layers, there to be compared with

    def __post_init__(self) -> None:
        if self.direction not in ("causal", "offline"):
            raise ValueError(f'direction is "causal" or "offline", not {self.direction!r}')
        if self.graph not in ("relational", "rgat", "gatv2"):
            raise ValueError(f'graph is "relational", "rgat" or "gatv2", not {self.graph!r}')
        if self.lookahead < 0 or (self.lookahead and self.direction == "offline"):
            raise ValueError("lookahead is 0 or more, and 0 for an offline network, which sees everything anyway")
        if self.lookahead and not self.graph_layers:
            raise ValueError("lookahead needs a graph layer: later utterances are seen through its edges")

    @property
    def modality_dims(self) -> dict[str, int]:
        """The modalities that this network reads, with their sizes."""
        dims = {"text": self.text_dim, "audio": self.audio_dim, "visual": self.visual_dim}
        return {name: dim for name, dim in dims.items() if dim}

    @property
    def streams(self) -> bool:
        """Whether no utterance sees a later one, so that the network can run utterance by utterance."""
        return self.direction == "causal" and self.lookahead == 0

    @property
    def futures(self) -> tuple[int, ...]:
        """How many later utterances each graph layer sees.

        With lookahead f only the first layer sees later ones: were they seen in each of L layers, an utterance would
        depend on L * f later ones, and f would not be what one waits for.
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
    patience: int = 12  # epochs without a better dev score before training stops
    focal_gamma: float = 0.0  # 0 = plain cross-entropy
    class_weight_power: float = 0.25  # class weights are frequency^-power; 0 = none
    modality_dropout: float = 0.3  # chance that an utterance loses a modality that it has, but never its last
    feature_noise: float = 0.3  # sd of Gaussian noise on present features, in units of each feature's own sd
    label_smoothing: float = 0.0
    vae_weight: float = 0.0  # of the variational terms, which also draw z in training; 0 = z is the posterior's mean
    beta: float = 0.01  # KL to the prior, beside a reconstruction of weight 1
    alpha: float = 0.01  # KL to each present modality's own posterior, likewise
    mask_weight: float = 0.0  # of masked node reconstruction; 0 = off
    mask_rate: float = 0.5  # share of a batch's utterances that are masked
    mask_power: float = 1.0  # masked in proportion to class frequency^-power: 0 = uniform, 1 = inverse frequency
    mask_gamma: float = 2.0  # exponent of the scaled cosine error
    contrastive_weight: float = 0.0  # of the supervised contrastive term; 0 = off
    contrastive_temperature: float = 0.1
    ema_decay: float = 0.0  # exponential moving average of the weights, a step; 0 = the weights themselves
    coverage: float = 0.9  # share of dev utterances that is not called uncertain; 1 = none ever is
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
