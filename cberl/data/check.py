"""Statistics of a corpus, and every problem in it."""

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cberl.data import own
from cberl.data.corpus import Corpus
from cberl.data.dialogue import DataError, Dialogue
from cberl.data.overlap import held_out_of, without_overlap
from cberl.data.own import Numbered, OwnData, Problem
from cberl.data.sound import MediaInfo, duration_s, probe

TOLERANCE_S = 0.1  # by which a time may lie past the end of the media
CLIP_TOLERANCE_S = 0.5  # by which a clip's length may differ: many are cut with a margin


@dataclass(frozen=True, slots=True)
class Summary:
    """Statistics of one split."""

    conversations: int
    utterances: int
    classes: dict[str, int]
    several_labels: int  # at once, or none with most votes
    unlabelled: int
    speakers: int
    speech_s: float
    longest_s: float
    overlapping: int  # utterances that start before the previous one ends
    without_text: int
    without_audio: int


@dataclass(slots=True)
class Report:
    name: str
    splits: dict[str, Summary] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)  # the corpus cannot be used as it is
    warnings: list[Problem] = field(default_factory=list)  # it can, but something may be wrong

    def as_dict(self) -> dict[str, Any]:
        body = asdict(self)
        return body | {name: [str(one) for one in getattr(self, name)] for name in ("problems", "warnings")}


def check(corpus: Corpus) -> Report:
    """Reads every split of a published corpus; a missing clip is a problem."""
    report = Report(corpus.name)
    for split in corpus.splits:
        try:
            dialogues = corpus.read(split)
        except DataError as error:
            report.problems.append(Problem(split, None, str(error)))
            continue
        report.splits[split] = summarise(dialogues, corpus.labels)
        report.problems += _negative_lengths(split, dialogues)
        clips = [line.clip.path for one in dialogues for line in one.lines if line.clip]
        report.problems += [Problem(str(path), None, "missing") for path in clips if not path.is_file()]
    return report


def overlaps(corpus: Corpus, others: Sequence[Corpus]) -> list[Problem]:
    """How many dialogues share a line with the dev or test of each other corpus. Raises `DataError`."""
    dialogues = [one for split in corpus.splits for one in corpus.read(split)]
    found = []
    for other in others:
        shared = len(dialogues) - len(without_overlap(dialogues, held_out_of(other)))
        if shared:
            message = f"{shared} of {len(dialogues)} dialogues share a line with the dev or test of {other.name}"
            found.append(Problem(corpus.name, None, f"{message}: `finetune-text --also` leaves them out"))
    return found


def check_own(folder: Path) -> Report:
    """Every problem in a folder of the user's own data (`cberl.data.own`), by file and line; opens every recording."""
    data = own.parse(folder)
    report = Report(data.header.name if data.header else str(folder), problems=data.problems)
    report.problems += _media_problems(data)
    report.warnings += _warnings(data)
    if data.header:
        report.splits = {
            split: summarise(own.dialogues(data, data.header, split), tuple(data.header.labels))
            for split in own.splits(data)
        }
        known = report.splits.get("train")
        for label, count in (known.classes if known else {}).items():
            if not count:
                report.warnings.append(Problem(own.HEADER, None, f"no training utterance has the label {label!r}"))
    report.problems.sort(key=_place)
    report.warnings.sort(key=_place)
    return report


def _negative_lengths(split: str, dialogues: list[Dialogue]) -> Iterator[Problem]:
    for one in dialogues:
        for number, line in enumerate(one.lines, 1):
            if line.end_s < line.start_s:
                message = f"dialogue {one.id}, utterance {number} ends at {line.end_s:g} s, before its start at"
                yield Problem(split, None, f"{message} {line.start_s:g} s")


def summarise(dialogues: list[Dialogue], labels: tuple[str, ...]) -> Summary:
    lines = [line for one in dialogues for line in one.lines]
    counts = Counter(line.label for line in lines)
    lengths_s = [line.end_s - line.start_s for line in lines]
    return Summary(
        conversations=len(dialogues),
        utterances=len(lines),
        classes={label: counts[i] for i, label in enumerate(labels)},
        several_labels=sum(line.label < 0 and line.shares is not None for line in lines),
        unlabelled=sum(line.label < 0 and line.shares is None for line in lines),
        speakers=len({(one.id, line.speaker) for one in dialogues for line in one.lines}),
        speech_s=round(sum(lengths_s), 1),
        longest_s=round(max(lengths_s, default=0.0), 1),
        overlapping=sum(
            after.start_s < before.end_s
            for one in dialogues
            for before, after in zip(one.lines, one.lines[1:], strict=False)
        ),
        without_text=sum(not line.text for line in lines),
        without_audio=sum(line.prosody is None and line.clip is None for line in lines),
    )


def _place(problem: Problem) -> tuple[str, int]:
    return problem.file, problem.line or 0


def _media_problems(data: OwnData) -> Iterator[Problem]:
    """Opens each file once and reports a problem of it once, at the first line that uses it."""
    users: dict[Path, list[Numbered]] = defaultdict(list)
    for some in data.rows.values():
        for one in some:
            clip = own.clip_of(one.row, data.folder)
            if clip:
                users[clip.path].append(one)
    for path, some in users.items():
        first, more = some[0], f" ({len(some)} lines use it)" if len(some) > 1 else ""
        try:
            info = probe(path)
        except DataError as error:
            yield Problem(first.file, first.line, f"{error}{more}")
            continue
        yield from _past_the_end(path, info, some)
        for one in some:
            if one.row.channel and one.row.channel > info.channels:
                message = f"channel {one.row.channel} of {one.row.media}, which has {info.channels}"
                yield Problem(one.file, one.line, message)


def _past_the_end(path: Path, info: MediaInfo, some: list[Numbered]) -> Iterator[Problem]:
    of_media = [one for one in some if one.row.media]
    if not of_media:
        return
    last_s = max(one.row.end_s for one in of_media)
    length_s = info.duration_s
    if length_s is None or last_s > length_s + TOLERANCE_S:
        length_s = duration_s(path)  # headers are sometimes wrong: measured before it is reported
    for one in of_media:
        if one.row.end_s > length_s + TOLERANCE_S:
            message = f"end_s {one.row.end_s:g} is past the end of {one.row.media}, which lasts {length_s:.2f} s"
            yield Problem(one.file, one.line, message)


def _warnings(data: OwnData) -> Iterator[Problem]:
    known = {f"{split}.jsonl" for split in data.rows}
    for path in sorted(data.folder.glob("*.jsonl")):
        if path.name not in known:
            yield Problem(path.name, None, "not read: the files are train.jsonl, dev.jsonl and test.jsonl")
    if "train" in data.rows and "dev" not in data.rows:
        yield Problem("train.jsonl", None, "there is no dev.jsonl: a tenth of its conversations is held out as dev")
    for some in data.rows.values():
        yield from _self_overlaps(some)
        for one in some:
            path = data.folder / (one.row.clip or "")
            if one.row.clip and path.is_file():
                yield from _odd_clip(one, path)


def _self_overlaps(some: list[Numbered]) -> Iterator[Problem]:
    """Turns of different speakers may overlap; where two of one speaker do, a time or the speaker may be wrong."""
    last: dict[tuple[str, str], Numbered] = {}
    for one in sorted(some, key=lambda one: (one.row.start_s, one.row.end_s)):
        who = (one.row.conversation, one.row.speaker)
        before = last.get(who)
        if before and one.row.start_s < before.row.end_s - TOLERANCE_S:
            yield Problem(one.file, one.line, f"{one.row.speaker} is still speaking in line {before.line}")
        last[who] = one


def _odd_clip(one: Numbered, path: Path) -> Iterator[Problem]:
    try:
        length_s = probe(path).duration_s
    except DataError:
        return  # reported as a problem
    spoken_s = one.row.end_s - one.row.start_s
    if length_s is not None and abs(length_s - spoken_s) > CLIP_TOLERANCE_S:
        message = f"{one.row.clip} lasts {length_s:.2f} s, and start_s to end_s {spoken_s:.2f} s"
        yield Problem(one.file, one.line, message)
