"""What a CBERL network is made of. Stored as JSON beside its weights."""

from dataclasses import dataclass, field

from cberl.labels import MELD


@dataclass(frozen=True, slots=True)
class ModelConfig:
    """Frozen: two networks with equal configs have equal shapes."""

    labels: tuple[str, ...] = MELD
    text_dim: int = 384  # 0 = this network has no such modality: what is given is ignored
    audio_dim: int = 8
    visual_dim: int = 0
    latent_dim: int = 128  # size of z, the joint latent of an utterance
    hidden_dim: int = 128  # size of the context and graph states
    heads: int = 4  # attention heads of the relational graph attention
    graph_layers: int = 2
    past: int = 8  # P: how many earlier utterances an utterance sees in the graph
    skip: bool = True  # let the projected modalities pass beside the bottleneck
    dropout: float = 0.3

    @property
    def modality_dims(self) -> dict[str, int]:
        """The modalities that this network reads, with their sizes."""
        dims = {"text": self.text_dim, "audio": self.audio_dim, "visual": self.visual_dim}
        return {name: dim for name, dim in dims.items() if dim}


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
    seed: int = 0
    model: ModelConfig = field(default_factory=ModelConfig)
