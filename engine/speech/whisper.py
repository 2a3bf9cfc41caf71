"""Whisper on CTranslate2, in windows that fit the turn.

Model: https://arxiv.org/abs/2212.04356. Log-mel features and tokenizer are those of faster-whisper
(https://github.com/SYSTRAN/faster-whisper), whose `transcribe` always pads to 30 s. Like there, features are padded
with zeros: in short windows padded with digital silence, the decoder repeats itself.
"""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cberl.types import SAMPLE_RATE, Float32
from engine.runtime.cores import recogniser_threads, usable_cores
from engine.speech.plausibility import plausible
from engine.speech.transcriber import TranscriberError, Transcript
from engine.speech.whisper_store import sha256
from engine.speech.whisper_window import FULL_S, max_tokens, pieces, repeats, window_s

SHORTEST_MS = 100  # a shorter clip has no word in it
NO_SPEECH = 0.6  # probability above which unsure text is not worth a second decoding
# The lowest mean log-probability per token of text that is used: Whisper's own limit in speech, more where the clip may
# be none, in short clips (sneezes), and where the text repeats itself in the full window as well. See `bench/asr.py`.
MIN_LOGPROB, MORE_IN_SILENCE, MORE_IF_SHORT, MORE_IF_REPEATED = -1.0, 0.8, 0.2, 0.4
CERTAIN_LOGPROB = -0.3  # of text whose repetitions are believed
SHORT_S = 1.2
FRAMES_PER_S = 100
TURN_S, TURN_TOKENS = 3.0, 12  # a usual turn, to measure a machine with
FILES = ("config.json", "model.bin", "tokenizer.json")  # of a model's folder, beside the vocabulary


@dataclass(frozen=True, slots=True)
class Decoded:
    """The result of one pass of encoder and decoder."""

    text: str
    logprob: float  # mean per token
    no_speech: float  # probability
    tokens: int
    language: str
    complete: bool  # the decoder came to an end by itself
    duration_s: float  # of the clip

    @property
    def repeats(self) -> bool:
        return not self.complete or repeats(self.text)

    @property
    def sure(self) -> bool:
        """Whether somebody said this, rather than that the decoder made it up."""
        more = MORE_IF_SHORT * (self.duration_s < SHORT_S) + MORE_IF_REPEATED * self.repeats
        return self.logprob > MIN_LOGPROB + MORE_IN_SILENCE * self.no_speech + more

    @property
    def doubtful(self) -> bool:
        """Whether the full window may give something else."""
        suspect = self.repeats or not self.plausible
        return bool(self.text) and (suspect or (not self.sure and self.no_speech <= NO_SPEECH))

    @property
    def plausible(self) -> bool:
        """Whether it can have been said in this time."""
        return plausible(self.text, self.duration_s, certain=self.logprob > CERTAIN_LOGPROB)


class WhisperTranscriber:
    """Greedy decoding: the same clip gives the same text.

    On a CPU (int8) a clip's result is the same to the bit in any batch: activations are quantised per row. On a GPU it
    is not, so each clip is its own batch there.
    """

    name = "whisper"

    def __init__(self, folder: Path, *, device: str = "cpu", threads: int | None = None) -> None:
        """Load and warm the model in `folder`. `device`: cpu or cuda. `threads`: of a call on a CPU; None: suitable.

        Raises TranscriberError if there is no Whisper model for CTranslate2, or it is damaged.
        """
        missing = [name for name in FILES if not (folder / name).is_file()]
        if missing:
            raise TranscriberError(f"{folder} is no Whisper model for CTranslate2: it has no {', '.join(missing)}")
        # Imported here because that takes a second.
        import ctranslate2
        import tokenizers
        from faster_whisper.feature_extractor import FeatureExtractor
        from faster_whisper.tokenizer import Tokenizer

        suited = recogniser_threads(usable_cores())
        self.parallel = suited.calls if device == "cpu" else 1
        self._storage = ctranslate2.StorageView.from_array
        try:
            self._model = ctranslate2.models.Whisper(
                str(folder),
                device=device,
                compute_type="int8" if device == "cpu" else "float16",
                intra_threads=threads or suited.per_call,
                inter_threads=self.parallel,
            )
            tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
            self.multilingual: bool = self._model.is_multilingual
            self._tokenizer = Tokenizer(tokenizer, self.multilingual, task="transcribe", language="en")
            self._features = FeatureExtractor(feature_size=self._model.n_mels)
            self._suppressed = _suppressed(self._tokenizer)
            self._max_batch = 1 if device == "cuda" else 64
            self.transcribe([np.zeros(SAMPLE_RATE, np.float32)])  # some failures show only now
        except Exception as error:  # noqa: BLE001 - the libraries raise RuntimeError, ValueError and bare Exception
            why = str(error).strip().partition("\n")[0]
            damaged = f"{folder / 'model.bin'} (sha256 {sha256(folder / 'model.bin')})"
            raise TranscriberError(f"the Whisper model {damaged} cannot be loaded: {why}") from error

    def transcribe(self, clips: Sequence[Float32]) -> list[Transcript]:
        """See Transcriber. `confidence` is the geometric mean of the tokens' probabilities."""
        cut = [pieces(np.ascontiguousarray(clip, np.float32)) for clip in clips]
        decoded = iter(self._decode_twice([piece for clip in cut for piece in clip if _long_enough(piece)]))
        return [self._transcript([next(decoded) for piece in clip if _long_enough(piece)]) for clip in cut]

    def time_turn(self) -> float:
        """Seconds that a turn of `TURN_S` takes on this machine, whatever is said in it. The best of three."""
        features = self._log_mel(np.zeros(round(TURN_S * SAMPLE_RATE), np.float32), window_s(TURN_S) * FRAMES_PER_S)
        prompt, suppressed = self._prompt("en"), [*self._suppressed, self._tokenizer.eot]
        taken = []
        for _ in range(3):
            started = time.perf_counter()
            encoded = self._model.encode(self._storage(features[None]))
            length = len(prompt) + TURN_TOKENS
            self._model.generate(encoded, [prompt], beam_size=1, max_length=length, suppress_tokens=suppressed)
            taken.append(time.perf_counter() - started)
        return min(taken)

    def _transcript(self, decoded: Sequence[Decoded]) -> Transcript:
        kept = [it for it in decoded if it.text and it.complete and it.sure and it.plausible]
        text = " ".join(it.text for it in kept)
        if not kept:
            return Transcript("", decoded[0].language if decoded else "en", None, self.name)
        tokens = sum(it.tokens for it in kept)
        confidence = math.exp(sum(it.logprob * it.tokens for it in kept) / tokens)
        return Transcript(text, kept[0].language, confidence, self.name)

    def _decode_twice(self, clips: Sequence[Float32]) -> list[Decoded]:
        """In the window that fits and, where that is doubtful, in the full one as well."""
        found = self.decode(clips, [window_s(len(it) / SAMPLE_RATE) for it in clips])
        doubtful = [n for n, it in enumerate(found) if it.doubtful and window_s(len(clips[n]) / SAMPLE_RATE) < FULL_S]
        again = self.decode([clips[n] for n in doubtful], [FULL_S] * len(doubtful))
        for n, it in zip(doubtful, again, strict=True):
            if found[n].repeats or it.logprob > found[n].logprob or not found[n].plausible:
                found[n] = it
        return found

    def decode(self, clips: Sequence[Float32], windows_s: Sequence[int]) -> list[Decoded]:
        """Each clip once, in its window; clips of the same window in one batch."""
        found: dict[int, Decoded] = {}
        for window in sorted(set(windows_s)):
            numbers = [n for n, it in enumerate(windows_s) if it == window]
            for at in range(0, len(numbers), self._max_batch):
                batch = numbers[at : at + self._max_batch]
                found |= zip(batch, self._decode_batch([clips[n] for n in batch], window), strict=True)
        return [found[n] for n in range(len(clips))]

    def _decode_batch(self, clips: Sequence[Float32], window: int) -> list[Decoded]:
        features = np.stack([self._log_mel(clip, window * FRAMES_PER_S) for clip in clips])  # (clips, mels, frames)
        encoded = self._model.encode(self._storage(features))
        languages = self._languages(encoded, len(clips))
        prompts = [self._prompt(language) for language in languages]
        durations_s = [len(clip) / SAMPLE_RATE for clip in clips]
        results = self._model.generate(
            encoded,
            prompts,
            beam_size=1,
            max_length=len(prompts[0]) + max_tokens(max(durations_s)),
            suppress_blank=True,
            suppress_tokens=self._suppressed,
            return_scores=True,
            return_no_speech_prob=True,
        )
        return [
            self._decoded(result, language, duration_s)
            for result, language, duration_s in zip(results, languages, durations_s, strict=True)
        ]

    def _decoded(self, result: Any, language: str, duration_s: float) -> Decoded:
        tokens = result.sequences_ids[0]
        # The score is the mean over the tokens of the text; the end of the text counts as well.
        logprob = result.scores[0] * len(tokens) / (len(tokens) + 1)
        text = self._tokenizer.decode(tokens).strip()
        complete = len(tokens) < max_tokens(duration_s)
        return Decoded(text, logprob, result.no_speech_prob, len(tokens), language, complete, duration_s)

    def _log_mel(self, pcm: Float32, frames: int) -> Float32:
        found: Float32 = self._features(pcm)[:, :frames]  # (mels, frames of the clip)
        return np.pad(found, ((0, 0), (0, frames - found.shape[1]))).astype(np.float32)

    def _languages(self, encoded: Any, clips: int) -> list[str]:
        if not self.multilingual:
            return ["en"] * clips
        return [found[0][0][2:-2] for found in self._model.detect_language(encoded)]  # "<|de|>" -> "de"

    def _prompt(self, language: str) -> list[int]:
        tokenizer = self._tokenizer
        if not self.multilingual:
            return [tokenizer.sot, tokenizer.no_timestamps]
        token = tokenizer.tokenizer.token_to_id(f"<|{language}|>")
        return [tokenizer.sot, token, tokenizer.transcribe, tokenizer.no_timestamps]


def _suppressed(tokenizer: Any) -> list[int]:
    """Tokens that never are text: music notes, brackets and the like, and the model's own marks."""
    marks = (tokenizer.transcribe, tokenizer.translate, tokenizer.sot, tokenizer.sot_prev, tokenizer.sot_lm)
    return sorted({*tokenizer.non_speech_tokens, *marks, tokenizer.no_speech})


def _long_enough(pcm: Float32) -> bool:
    return len(pcm) * 1e3 / SAMPLE_RATE >= SHORTEST_MS
