"""One corpus's labels in another's words, for training on several or moving from one to the next."""

from collections.abc import Sequence
from dataclasses import replace

from cberl.data import emorynlp
from cberl.data.dialogue import UNLABELLED, Dialogue
from cberl.labels import EMOTIONS


def counterpart(name: str, target: Sequence[str]) -> str | None:
    """The label of `target` that means what `name` does: the same word, or the one of the same basic emotion.

    None where there is none, or more than one (happiness, among happiness and excitement, is itself).
    """
    name = emorynlp.ELSEWHERE.get(name, name)
    if name in target:
        return name
    basic = EMOTIONS[name].big6 if name in EMOTIONS else None
    same = [other for other in target if basic and other in EMOTIONS and EMOTIONS[other].big6 == basic]
    return same[0] if len(same) == 1 else None


def relabel(dialogues: Sequence[Dialogue], source: Sequence[str], target: Sequence[str]) -> list[Dialogue]:
    """The dialogues with labels of `target`; an utterance whose label has no counterpart becomes unlabelled."""
    names = [counterpart(name, target) for name in source]
    index = [UNLABELLED if name is None else target.index(name) for name in names]
    return [
        Dialogue(
            one.id,
            tuple(replace(line, label=index[line.label] if line.label >= 0 else UNLABELLED) for line in one.lines),
        )
        for one in dialogues
    ]
