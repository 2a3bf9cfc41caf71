"""From an utterance to an emotion event: one step of the conversation's graph."""

from collections import deque
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import accumulate
from math import isfinite

import numpy as np

from cberl.labels import BIG6_URI, valence_arousal
from cberl.live_checkpoint import LiveCheckpoint
from cberl.recent import RecentDict
from cberl.step.influence import Influences, influences, with_each_left_out
from cberl.step.state import ConversationState, StepInput, initial_state
from cberl.types import Float32
from engine.conversation.utterance import Utterance
from engine.events import EmotionEvent, Influence, Shift
from engine.runtime.clocks import Stopwatch

SMALLEST_INFLUENCE = 1e-3  # on a logit; the two ways to run the network differ by a hundredth of that
FOREIGN_TEXT = 0.1  # reliability of text that is not English: the text encoder has not learnt other languages


@dataclass(frozen=True, slots=True, eq=False)
class GraphRequest:
    """The next utterance of one conversation, and the state before it. `explain`: `influences` are wanted."""

    state: ConversationState
    utterance: StepInput
    explain: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class GraphResult:
    """One probability per label, the conversation's state after the utterance, and what moved it, if that is wanted."""

    probabilities: list[float]
    state: ConversationState
    influences: Influences = field(default_factory=Influences)


GraphStep = Callable[[GraphRequest], Awaitable[GraphResult]]


def run_graph(checkpoint: LiveCheckpoint, requests: Sequence[GraphRequest]) -> list[GraphResult]:
    """One step for utterances of several conversations. Blocking: belongs in a worker."""
    inputs = [with_each_left_out(one.state, one.utterance) if one.explain else [one.utterance] for one in requests]
    repeated = [one.state for one, rows in zip(requests, inputs, strict=True) for _ in rows]
    logits, states = checkpoint.network.step(repeated, [row for rows in inputs for row in rows])
    starts = [0, *accumulate(map(len, inputs))][:-1]
    return [
        _result(checkpoint, rows[0], logits[start : start + len(rows)], states[start])
        for start, rows in zip(starts, inputs, strict=True)
    ]


def _result(checkpoint: LiveCheckpoint, utterance: StepInput, logits: Float32, state: ConversationState) -> GraphResult:
    """`logits` (1 or more, C): of the utterance, and with what moved it left out (see `influences`)."""
    probabilities = checkpoint.calibration.probabilities(logits[0].astype(np.float64))
    winner = int(probabilities.argmax())
    return GraphResult(probabilities.tolist(), state, influences(utterance, logits, winner))


class Shifts:
    """Each speaker's last change of emotion. Pure."""

    def __init__(self) -> None:
        self._now: RecentDict[str, str] = RecentDict()
        self._before: RecentDict[str, Shift] = RecentDict()

    def copy(self) -> "Shifts":
        """An independent copy."""
        other = Shifts()
        other._now, other._before = self._now.copy(), self._before.copy()
        return other

    @property
    def state(self) -> tuple[dict[str, str], dict[str, Shift]]:
        """(present emotion, last change) by speaker."""
        return dict(self._now), dict(self._before)

    def restore(self, now: Mapping[str, str], before: Mapping[str, Shift]) -> None:
        self._now.update(now)
        self._before.update(before)

    def push(self, speaker: str, emotion: str) -> Shift | None:
        """This speaker's last change of emotion, or None where it has not changed."""
        last = self._now.get(speaker)
        self._now[speaker] = emotion
        if last is not None and last != emotion:
            self._before[speaker] = Shift(last, turns_ago=1)
        elif speaker in self._before:
            before = self._before[speaker]
            self._before[speaker] = Shift(before.from_, before.turns_ago + 1)
        return self._before.get(speaker)


class EmotionClassifier:
    """One conversation's graph. Call `classify` in the order of the turns."""

    def __init__(
        self, conversation: str, checkpoint: LiveCheckpoint, graph: GraphStep, *, because: bool = False
    ) -> None:
        """`because`: events say which earlier turns and which modalities moved them."""
        self._conversation = conversation
        self._checkpoint = checkpoint
        self._graph = graph
        self._because = because
        self._state = initial_state(checkpoint.config)
        self._utterances: deque[str] = deque(maxlen=checkpoint.config.past)
        self.shifts = Shifts()

    @property
    def state(self) -> ConversationState:
        """Of the graph. Immutable."""
        return self._state

    @property
    def utterances(self) -> tuple[str, ...]:
        """The names of those in the graph's window, oldest first."""
        return tuple(self._utterances)

    def restore(self, state: ConversationState, utterances: tuple[str, ...] = ()) -> None:
        """`utterances`: the names, oldest first, if they are known. Raises ValueError where it does not fit."""
        fresh = initial_state(self._checkpoint.config)
        fits = state.hidden.shape == fresh.hidden.shape and state.layers.shape == fresh.layers.shape
        if not fits or max(len(state.speakers), len(utterances)) > self._checkpoint.config.past:
            raise ValueError("a state of another network")
        self._state = state
        self._utterances = deque(utterances, self._utterances.maxlen)

    def copy(self) -> "EmotionClassifier":
        """An independent copy."""
        other = EmotionClassifier(self._conversation, self._checkpoint, self._graph, because=self._because)
        other._state, other._utterances, other.shifts = self._state, self._utterances.copy(), self.shifts.copy()
        return other

    async def classify(self, utterance: Utterance, published_as: str | None = None) -> EmotionEvent:
        """The next event, without `after_speech` and `lag_s`, which are known only when it is published.

        `published_as`: the name of an utterance that is classified again, perhaps with another speaker.
        """
        watch = Stopwatch(utterance.timings_ms)
        with watch("graph"):
            result = await self._graph(GraphRequest(self._state, _step_input(utterance), explain=self._because))
        event = self._event(utterance, result, watch.timings_ms)
        event = replace(
            event,
            utterance=published_as or event.utterance,
            shift=self.shifts.push(event.speaker, event.emotion),
            because=_because(self._utterances, result.influences.utterances),
            modality_weights=result.influences.modalities,
        )
        if all(map(isfinite, result.probabilities)):  # else the state is spoilt, too, for all later utterances
            self._state = result.state
            self._utterances.append(event.utterance)
        return event

    async def preview(self, utterance: Utterance) -> EmotionEvent:
        """An interim event of a turn in progress. The conversation's state does not change."""
        watch = Stopwatch(utterance.timings_ms)
        with watch("graph"):
            result = await self._graph(GraphRequest(self._state, _step_input(utterance)))
        return replace(self._event(utterance, result, watch.timings_ms), status="interim")

    def _event(self, utterance: Utterance, result: GraphResult, timings_ms: dict[str, float]) -> EmotionEvent:
        turn = utterance.turn
        names = self._checkpoint.config.labels
        probabilities = dict(zip(names, result.probabilities, strict=True))
        emotion = max(probabilities, key=probabilities.__getitem__)
        valence, arousal = valence_arousal(probabilities)
        silence_ms = (turn.decided_s - turn.end_s) * 1e3
        return EmotionEvent(
            conversation=self._conversation,
            utterance=f"{self._conversation}/{turn.speaker}/{turn.turn_id}",
            speaker=turn.speaker,
            start_s=turn.start_s,
            end_s=turn.end_s,
            text=utterance.transcript.text or None if utterance.transcript else None,
            emotion=emotion,
            confidence=probabilities[emotion],
            probabilities=probabilities,
            valence=valence,
            arousal=arousal,
            shift=None,
            modalities=_modalities(utterance),
            vocabulary=BIG6_URI,
            model=self._checkpoint.name,
            timings_ms={"turn": silence_ms} | timings_ms,
            lag_s=0.0,
            language=_language(utterance),
            vocal_events=utterance.vocal_events,
            missing=dict(utterance.missing),
            uncertain=probabilities[emotion] < self._checkpoint.calibration.uncertain_below,
        )


def _because(utterances: Sequence[str], influences: Sequence[float]) -> tuple[Influence, ...]:
    """`utterances` oldest first, `influences` of the latest first. The largest influence is first."""
    found = [
        Influence(name, weight)
        for name, weight in zip(reversed(utterances), influences, strict=False)  # names of an older state are unknown
        if abs(weight) >= SMALLEST_INFLUENCE
    ]
    return tuple(sorted(found, key=lambda it: -abs(it.weight)))


def _step_input(utterance: Utterance) -> StepInput:
    vectors = {"text": utterance.text, "audio": utterance.audio, "visual": utterance.visual}
    return StepInput(utterance.turn.speaker, vectors)


def _language(utterance: Utterance) -> str | None:
    return utterance.transcript.language or None if utterance.transcript and utterance.transcript.text else None


def _modalities(utterance: Utterance) -> dict[str, float | None]:
    """How reliable each modality is, 0..1; None: absent.

    From the confidence of the recogniser, the language of the text, and the quality of the frames.
    """
    transcript = utterance.transcript
    confidence = 1.0 if transcript is None or transcript.confidence is None else transcript.confidence
    language = _language(utterance) or "en"
    reliability = confidence if language.partition("-")[0].lower() == "en" else min(confidence, FOREIGN_TEXT)
    return {
        "text": None if utterance.text is None else reliability,
        "audio": None if utterance.audio is None else 1.0,
        "visual": None if utterance.visual is None else utterance.visual_quality,
    }
