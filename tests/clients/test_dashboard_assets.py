"""The first page without a server: its files, its colours, and what it makes of messages."""

import json
import random
import re
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from cberl.labels import EMOTIONS, MELD
from engine.delivery.wire import encode
from engine.events import ChangeRule
from engine.export import summary
from engine.export.formats import FORMATS
from testing import events as made

DASHBOARD = Path(__file__).parents[2] / "clients" / "dashboard"
SCRIPTS = sorted(DASHBOARD.glob("*.js"))
NODE = shutil.which("node")


def test_all_it_loads_is_there_and_its_own() -> None:
    page = (DASHBOARD / "index.html").read_text(encoding="utf-8")
    loaded = re.findall(r'(?:src|href)="(?!data:)([^"]+)"', page)
    assert {"/static/app.js", "/static/style.css"} <= set(loaded)
    files = {DASHBOARD / path.removeprefix("/static/") for path in loaded if path.startswith("/static/")}
    for script in SCRIPTS:
        imported = re.findall(r'from "\./([^"]+)"', script.read_text(encoding="utf-8"))
        files |= {DASHBOARD / path for path in imported}
    assert set(SCRIPTS) <= files  # none is left lying about
    assert all(path.is_file() for path in files)
    assert all(path.startswith(("/", "#")) for path in loaded)  # nothing from elsewhere


def test_it_looks_up_only_elements_that_exist() -> None:
    page = (DASHBOARD / "index.html").read_text(encoding="utf-8")
    asked = {
        name
        for script in SCRIPTS
        for name in re.findall(r'(?:\$|getElementById)\("([^"]+)"\)', script.read_text(encoding="utf-8"))
    }
    assert len(asked) > 8
    assert asked <= set(re.findall(r'\bid="([^"]+)"', page))


@pytest.mark.parametrize("page", [DASHBOARD, DASHBOARD.parent / "call"], ids=["dashboard", "call"])
def test_all_words_are_in_one_file(page: Path) -> None:
    text = (page / "index.html").read_text(encoding="utf-8")
    outside = re.sub(r"<[^>]*>", " ", text).split()
    assert {word for word in outside if re.search(r"[a-z]{2}|[A-Z]{2}", word)} == {"CBERL"}
    assert not re.search(r'(?<!data-)(?:aria-label|placeholder|title)="', text)
    words = (DASHBOARD / "strings.js").read_text(encoding="utf-8")
    for path in re.findall(r'data-(?:words|label|placeholder)="([^"]+)"', text):
        assert re.search(rf"\b{path.rpartition('.')[2]}: ", words), path


def test_words_from_the_wire_never_become_markup() -> None:
    sinks = re.compile(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|DOMParser|\beval\(")
    for script in SCRIPTS:
        assert not sinks.search(script.read_text(encoding="utf-8")), script


def test_every_emotion_has_a_readable_colour_in_light_and_dark() -> None:
    """WCAG 2.2, 1.4.3: 4.5 or more, as words in the colour on a card and as words on the colour."""
    css = (DASHBOARD / "style.css").read_text(encoding="utf-8")
    cards, inks = _pair(css, "--card"), _pair(css, "--on-feeling")
    for emotion in EMOTIONS:
        rule = re.search(rf'\[data-emotion="{emotion}"\][^{{]*{{([^}}]*)}}', css)
        assert rule, f"{emotion} has no colour"
        for colour, card, ink in zip(_pair(rule[1], "--feeling"), cards, inks, strict=True):
            assert _contrast(colour, card) >= 4.5, (emotion, colour, card)
            assert _contrast(colour, ink) >= 4.5, (emotion, colour, ink)


def _pair(css: str, name: str) -> tuple[str, str]:
    found = re.search(rf"{name}: light-dark\((#\w{{6}}), (#\w{{6}})\)", css)
    assert found, name
    return found[1], found[2]


def _contrast(one: str, other: str) -> float:
    low, high = sorted((_luminance(one), _luminance(other)))
    return (high + 0.05) / (low + 0.05)


def _luminance(colour: str) -> float:
    shares = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (s / 12.92 if s <= 0.04045 else ((s + 0.055) / 1.055) ** 2.4 for s in shares)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


needs_node = pytest.mark.skipif(NODE is None, reason="needs node to run the page's own modules")

RULE = asdict(ChangeRule())
EVENT = {"type": "emotion", "status": "final", "revision": 0, "speaker": "maya", "emotion": "joy", "text": ""}


def event(seq: int, utterance: str, start_s: float, **other: Any) -> dict[str, Any]:
    return EVENT | {"seq": seq, "utterance": utterance, "start_s": start_s, "end_s": start_s + 1} | other


def run(program: str) -> Any:
    """What a program that imports modules of the dashboard prints, as JSON."""
    assert NODE is not None
    command = [NODE, "--no-warnings", "--input-type=module"]
    program = program.replace("DASHBOARD", DASHBOARD.as_uri())
    done = subprocess.run(command, input=program, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def replay(messages: list[dict[str, Any]]) -> dict[str, Any]:
    """What state.js knows after these messages, and what each call of `apply` returned."""
    program = f"""
        import {{ apply, emptyState }} from {json.dumps((DASHBOARD / "state.js").as_uri())};
        const state = emptyState("demo");
        const returned = {json.dumps(messages)}.map((message) => apply(state, message));
        const texts = [...state.utterances.values()].map(({{ text }}) => text);
        const speakers = Object.fromEntries([...state.speakers].map(([name, it]) =>
          [name, [it.current?.emotion ?? null, it.interim?.emotion ?? null, it.present]]));
        console.log(JSON.stringify({{ ...state, texts, speakers, returned }}));
    """
    known: dict[str, Any] = run(program)
    return known


@needs_node
def test_a_message_of_the_future_changes_nothing() -> None:
    assert replay([event(1, "demo/maya/1", 0), {"type": "of the future", "seq": 4}])["returned"] == [True, False]


@needs_node
def test_corrections_replace_and_interims_give_way() -> None:
    known = replay([
        event(1, "demo/maya/1", 0, text="old"),
        event(2, "demo/maya/2", 5, status="interim", emotion="fear", text=None),
        event(3, "demo/maya/1", 0, text="new", status="corrected", revision=1, emotion="sadness"),
        event(4, "demo/maya/2", 5, text="end", emotion="anger"),
        event(5, "demo/maya/1", 0, text="newer", status="corrected", revision=2, emotion="disgust"),
        event(6, "demo/tom/1", 8, speaker="tom", status="interim"),
        {"type": "speaker.left", "seq": 7, "speaker": "tom"},
    ])  # fmt: skip
    assert known["texts"] == ["newer", "end"]
    # How maya feels is her latest utterance, whatever was put right before it.
    assert known["speakers"] == {"maya": ["anger", None, True], "tom": [None, None, False]}


@needs_node
def test_a_resync_forgets_and_goes_on_from_the_snapshot() -> None:
    speakers = [
        {"speaker": "maya", "present": True, "current": {"emotion": "joy", "confidence": 0.7}},
        {"speaker": "tom", "present": True, "current": None},
    ]
    snapshot = {"type": "snapshot", "conversation": "demo", "last_seq": 90, "speakers": speakers}
    resync = {"type": "resync", "conversation": "demo", "requested_seq": 7, "last_seq": 90}
    before = event(7, "demo/maya/1", 0, emotion="fear")
    after = event(91, "demo/tom/1", 50, speaker="tom", text="b")
    known = replay([before, resync, snapshot, after])
    assert known["texts"] == ["b"]
    assert known["missed"] is True
    assert known["speakers"] == {"maya": ["joy", None, True], "tom": ["joy", None, True]}


@needs_node
def test_a_conversation_that_starts_again_starts_empty() -> None:
    ended, started = {"type": "conversation.ended", "seq": 2}, {"type": "conversation.started", "seq": 3}
    known = replay([event(1, "demo/maya/1", 0), ended])
    assert (known["active"], known["speakers"]) == (False, {"maya": ["joy", None, False]})
    known = replay([event(1, "demo/maya/1", 0), ended, started])
    assert (known["active"], known["texts"], known["speakers"]) == (True, [], {})


@needs_node
def test_the_address_says_all_that_is_shown() -> None:
    program = """
        import { format, parse } from "DASHBOARD/route.js";
        const shown = { conversation: "a b&c", list: false, turn: "a/1", search: "x", at: 1.5, from: 0, to: 90 };
        const queries = ["", "?list", "?conversation=a&t=x", "?conversation=a&from=3"];
        console.log(JSON.stringify([parse(format(shown)), queries.map((query) => format(parse(query)))]));
    """
    shown = {"conversation": "a b&c", "list": False, "turn": "a/1", "search": "x", "at": 1.5, "from": 0, "to": 90}
    assert run(program) == [shown, ["", "?list", "?conversation=a", "?conversation=a&from=3"]]


@needs_node
def test_what_is_older_than_the_replay_comes_from_the_history_of_this_run() -> None:
    old = [event(1, "demo/maya/1", 0, text="of the run before"), {"type": "conversation.started", "seq": 2}]
    kept = [event(3, "demo/maya/2", 0, text="one"), event(4, "demo/maya/3", 5, text="two")]
    program = f"""
        import {{ addHistory, apply, emptyState }} from "DASHBOARD/state.js";
        const state = emptyState("demo");
        apply(state, {json.dumps(event(5, "demo/maya/3", 5, text="two, corrected"))});
        const returned = addHistory(state, {json.dumps(old + kept)});
        console.log(JSON.stringify([returned, [...state.utterances.values()].map(({{ text }}) => text)]));
    """
    assert run(program) == [True, ["one", "two, corrected"]]


@needs_node
def test_the_summary_has_shares_of_time_and_counts_each_change_once() -> None:
    turns = [
        event(1, "1", 0, emotion="neutral", end_s=3.0, valence=0, arousal=0, confidence=0.9, shift=None),
        event(2, "2", 4, emotion="joy", end_s=5.0, valence=0.8, arousal=0.5, confidence=0.5,
              shift={"from": "neutral", "turns_ago": 1}),
        event(3, "3", 6, emotion="joy", end_s=6.0, valence=0.8, arousal=0.5, confidence=0.9, uncertain=True,
              shift={"from": "neutral", "turns_ago": 2}),
    ]  # fmt: skip
    program = f"""
        import {{ summarize }} from "DASHBOARD/summary.js";
        console.log(JSON.stringify(summarize({json.dumps(turns)}, {json.dumps(RULE)})));
    """
    summary = run(program)
    shares = [["neutral", 0.75], ["joy", 0.25]]
    assert summary["speakers"] == [{"name": "maya", "turns": 3, "changes": 1, "shares": shares}]
    assert [it["utterance"] for it in summary["moments"]] == ["2"]


@needs_node
@pytest.mark.parametrize("rule", [ChangeRule(), ChangeRule(0.8, 3, 11.0)])
def test_the_summary_of_the_engine_and_of_the_dashboard_have_the_same_changes(rule: ChangeRule) -> None:
    chance = random.Random(11)
    events = [
        made.emotion(
            number, chance.choice(("maya", "tom")), chance.choice(MELD[:3]), confidence=chance.choice((0.4, 0.6, 0.8))
        )
        for number in range(400)
    ]
    program = f"""
        import {{ lastingChanges }} from "DASHBOARD/changes.js";
        import {{ summarize }} from "DASHBOARD/summary.js";
        const turns = [{",".join(encode(event, seq) for seq, event in enumerate(events))}];
        const rule = {json.dumps(asdict(rule))};
        const {{ speakers }} = summarize(turns, rule);
        const counts = Object.fromEntries(speakers.map(({{ name, changes }}) => [name, changes]));
        console.log(JSON.stringify([lastingChanges(turns, rule).map(({{ utterance }}) => utterance), counts]));
    """
    changes, counts = run(program)
    expected = summary.summarize(events, rule)
    assert changes == [change.event.utterance for change in expected.changes]
    assert counts == {it.speaker: it.changes for it in expected.speakers}
    assert 20 < len(changes) < 200  # the rule leaves some out


@needs_node
def test_the_menu_has_every_format_of_the_engine() -> None:
    program = """
        import { words } from "DASHBOARD/strings.js";
        console.log(JSON.stringify(Object.keys(words.formats)));
    """
    assert set(run(program)) == set(FORMATS)


@needs_node
def test_the_timeline_never_shows_more_than_there_is() -> None:
    program = """
        import { moved, range, ticks, turnAt, zoomed } from "DASHBOARD/timeline_scale.js";
        const lane = [{ start_s: 0, end_s: 2 }, { start_s: 5, end_s: 6 }];
        console.log(JSON.stringify([
          range(null, 600, false, 1000), range(null, 600, true, 1000), range([-5, 5], 600, false, 1000),
          zoomed([0, 100], 0.5, 50, 600), zoomed([0, 100], 100, 50, 600), zoomed([0, 100], 0.001, 0, 600),
          moved([500, 600], 50, 600), ticks([0, 60], 600), turnAt(lane, 4.5, 1), turnAt(lane, 3.5, 1),
        ]));
    """
    whole, newest, *rest = run(program)
    assert whole == [0, 600]
    assert newest == [516, 606]
    assert rest == [
        [0, 10], [25, 75], [0, 600], [0, 4], [500, 600], [0, 10, 20, 30, 40, 50, 60], {"start_s": 5, "end_s": 6}, None,
    ]  # fmt: skip


@needs_node
def test_live_conversations_are_listed_first_and_then_the_latest() -> None:
    listed = [
        {"id": "old", "speakers": ["maya"], "active": False, "ended_at_s": 5},
        {"id": "live", "speakers": [], "active": True},
        {"id": "new", "speakers": ["Tom"], "active": False, "ended_at_s": 9},
        {"id": "unknown", "speakers": ["tom"], "active": False},
    ]
    program = f"""
        import {{ matching, ordered }} from "DASHBOARD/list_order.js";
        const listed = {json.dumps(listed)};
        const found = [ordered(listed), matching(listed, " TOM ")];
        console.log(JSON.stringify(found.map((some) => some.map(({{ id }}) => id))));
    """
    assert run(program) == [["live", "new", "old", "unknown"], ["new", "unknown"]]
