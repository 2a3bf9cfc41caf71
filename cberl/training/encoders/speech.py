"""Trains the speech emotion network: Whisper's first layers as they are, and linear heads on acted speech.

    cberl train-encoder speech --data RAVDESS --tess TESS --vocal VOCALISATIONS --noise SOUNDS --whisper WEIGHTS

The layers are frozen, so their states are computed once, also for augmented copies of each clip. The heads are fitted
in seconds. They are scored on a corpus that they were not fitted to: with people of one corpus held out, all layers
look alike, although some fail on other corpora.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import save_file

from cberl.data.acted_speech import ActedClip, Vocalisation, read_ravdess, read_sounds, read_tess, read_vocalisations
from cberl.encoders.speech_emotion import VOCAL_EVENTS, SpeechHead, SpeechStates
from cberl.labels import MELD
from cberl.onnx import open_session
from cberl.storage import fingerprint, replacing
from cberl.training.encoders.export import export_states
from cberl.training.encoders.speech_augment import SpeechAugmentation
from cberl.training.encoders.speech_head import (
    ActedStates,
    HeadTraining,
    accuracy,
    fit_head,
    fit_uncalibrated,
    folds,
    with_events,
)
from cberl.training.encoders.speech_states import PooledStates, pooled_states
from cberl.types import Float32

log = logging.getLogger(__name__)

# What a vocalisation is called in an event. Other kinds, such as coughing, are examples of none.
EVENT_OF = {"laughing": "laughter", "crying": "crying", "sighing": "sigh", "screaming": "scream", "panting": "panting"}
LONG = (100_000, 100_000)  # turns
SPEECH_SHARE = 4  # every fourth clip of speech is an example of no event


@dataclass(frozen=True, slots=True)
class SpeechData:
    """Folders as `cberl.data.acted_speech` reads them; `whisper`: tiny.en's encoder in safetensors."""

    ravdess: Path
    tess: Path
    vocalisations: Path
    noise: Path
    whisper: Path


@dataclass(frozen=True, slots=True)
class SpeechTraining:
    copies: int = 4  # of each clip of RAVDESS, the first as it is; of vocalisations twice as many
    tess_copies: int = 2  # its 2,800 clips are of two women: more copies are no more voices
    augmentation: SpeechAugmentation = field(default_factory=SpeechAugmentation)
    head: HeadTraining = field(default_factory=HeadTraining)
    seeds: int = 5  # of the scores


def train_speech(data: SpeechData, out: Path, config: SpeechTraining) -> dict[str, Any]:
    """Writes `speech.onnx`, `speech.safetensors` and `speech.json` to `out/onnx`. Returns the scores.

    States are kept in `out`, so that a run that was stopped continues. Raises `DataError` or `EncoderError`.
    """
    network = out / "onnx" / "speech.onnx"
    export_states(data.whisper, network)
    encoding = _Encoding(network, config, [sound.pcm for sound in read_sounds(data.noise)], out)
    acted = {
        "ravdess": encoding.acted(read_ravdess(data.ravdess), "ravdess", config.copies),
        "tess": encoding.acted(read_tess(data.tess), "tess", config.tess_copies),
    }
    head = fit_head(_joined(list(acted.values())), config.head)
    head, events = _events(head, encoding, read_vocalisations(data.vocalisations), acted, config)
    scores = cross_corpus(acted["ravdess"], acted["tess"], config) | {"vocal_events": events}
    _save(head, network, config, scores)
    return scores


def cross_corpus(ravdess: ActedStates, tess: ActedStates, config: SpeechTraining) -> dict[str, Any]:
    """Unweighted average recall, % (mean and sd of seeds), for an unknown corpus and for unknown people.

    Turns are in conversations of 4 to 48 turns of one person; with "long" all clips of a person are one conversation.
    """
    rows: dict[str, list[float]] = {}
    for seed in range(config.seeds):
        training = replace(config.head, seed=seed)
        for name, known, other in (("ravdess to tess", ravdess, tess), ("tess to ravdess", tess, ravdess)):
            head = fit_uncalibrated(known, training)
            rows.setdefault(name, []).append(accuracy(head, other.clean(), training))
            rows.setdefault(f"{name}, long", []).append(accuracy(head, other.clean(), replace(training, turns=LONG)))
            rows.setdefault(f"{name}, degraded", []).append(accuracy(head, other, training))
        both = _joined([ravdess, tess])
        parts = folds(sorted({*map(str, ravdess.actor)}), training.folds)
        found = [
            accuracy(fit_uncalibrated(_without(both, people), training), ravdess.of(people).clean(), training)
            for people in parts
        ]
        rows.setdefault("ravdess, people held out", []).append(float(np.mean(found)))
        log.info("seed %d: %s", seed, {name: round(values[-1], 1) for name, values in rows.items()})
    return {name: {"mean": round(float(np.mean(v)), 1), "sd": round(float(np.std(v)), 1)} for name, v in rows.items()}


class _Encoding:
    """The states of clips, kept in a folder."""

    def __init__(self, network: Path, config: SpeechTraining, noises: Sequence[Float32], cache: Path) -> None:
        self._states, self._digest = SpeechStates(open_session(network)), fingerprint(network)
        self._config, self._cache = config, cache
        self.noises = noises

    def acted(self, clips: Sequence[ActedClip], name: str, copies: int) -> ActedStates:
        states = self.of([clip.pcm for clip in clips], name, copies)
        return ActedStates(
            states.turns, np.array([clip.label for clip in clips]), np.array([clip.actor for clip in clips])
        )

    def of(self, clips: Sequence[Float32], name: str, copies: int) -> PooledStates:
        made_from = f"{self._digest} {len(clips)} {sum(map(len, clips))} {len(self.noises)}"
        augmentation = self._config.augmentation
        return pooled_states(clips, self._states, copies, augmentation, self.noises, self._cache, made_from, name)


def _events(
    head: SpeechHead,
    encoding: _Encoding,
    vocalisations: Sequence[Vocalisation],
    acted: dict[str, ActedStates],
    config: SpeechTraining,
) -> tuple[SpeechHead, dict[str, Any]]:
    """Among vocalisations, speech and noise; a clip of speech or noise in which an event is found is a false alarm."""
    vocal = encoding.of([one.pcm for one in vocalisations], "vocalisations", 2 * config.copies)
    noise = encoding.of(encoding.noises, "noise", 1)
    speech = _joined(list(acted.values()))
    spoken = speech.turns[::SPEECH_SHARE].reshape(-1, speech.turns.shape[2])  # (clips, copies, 768) -> (rows, 768)
    present = ~np.isnan(spoken[:, 0])
    states = np.concatenate([vocal.windows, noise.windows, spoken[present]])
    kind = [EVENT_OF.get(vocalisations[n].kind, "") for n in vocal.clip] + [""] * (len(states) - len(vocal.clip))
    actor = np.repeat(speech.actor[::SPEECH_SHARE], speech.turns.shape[1])[present]
    person = [vocalisations[n].person for n in vocal.clip] + [f"noise-{n}" for n in noise.clip] + [*map(str, actor)]
    return with_events(head, states, np.array(kind), np.array(person), config.head)


def _joined(parts: Sequence[ActedStates]) -> ActedStates:
    """With as many copies of each clip everywhere: those of a part with fewer are repeated."""
    copies = max(it.turns.shape[1] for it in parts)
    turns = [it.turns[:, np.arange(copies) % it.turns.shape[1]] for it in parts]
    label, actor = (np.concatenate([getattr(it, name) for it in parts]) for name in ("label", "actor"))
    return ActedStates(np.concatenate(turns), label, actor)


def _without(acted: ActedStates, people: Sequence[str]) -> ActedStates:
    return acted.of([actor for actor in map(str, np.unique(acted.actor)) if actor not in people])


def _save(head: SpeechHead, network: Path, config: SpeechTraining, scores: dict[str, Any]) -> None:
    arrays = {name: value for name, value in asdict(head).items() if isinstance(value, np.ndarray)}
    with replacing(network.with_suffix(".safetensors")) as unfinished:
        save_file({name: np.ascontiguousarray(value) for name, value in arrays.items()}, unfinished)
    about = {
        "labels": list(MELD),
        "vocal_events": list(VOCAL_EVENTS),
        "prior_weight": head.prior_weight,
        "training": asdict(config),
        "scores": scores,
    }
    with replacing(network.with_suffix(".json")) as unfinished:
        unfinished.write_text(json.dumps(about, indent=2) + "\n")
