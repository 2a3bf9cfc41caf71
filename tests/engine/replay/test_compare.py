"""The first difference between two lists of events."""

import json

from engine.replay.compare import ROUNDING, finals, first_difference

EVENT = {"type": "emotion", "id": "a/1@r", "seq": 1, "status": "final", "emotion": "joy", "timings_ms": {"turn": 4.0}}
EVENT |= {"probabilities": {"joy": 0.8, "fear": 0.2}, "lag_s": 0.1}


def lines(*events: dict[str, object]) -> list[str]:
    return [json.dumps(it) for it in events]


def test_lines_are_the_same_to_the_byte() -> None:
    assert first_difference(lines(EVENT, EVENT), lines(EVENT, EVENT)) is None
    spaced = [json.dumps(EVENT, indent=1)]
    assert "event 1 is written differently" in str(first_difference(lines(EVENT), spaced))


def test_the_first_difference_names_its_field_and_both_values() -> None:
    other = EVENT | {"probabilities": {"joy": 0.7, "fear": 0.2}}
    found = first_difference(lines(EVENT, EVENT, EVENT), lines(EVENT, other, {}))
    assert str(found).startswith("event 2 has probabilities.joy 0.7 instead of 0.8")
    assert "event 1 has other fields, namely lag_s on one side only" in str(
        first_difference(lines(EVENT), lines({name: it for name, it in EVENT.items() if name != "lag_s"}))
    )
    assert "1 events came instead of 2" in str(first_difference(lines(EVENT, EVENT), lines(EVENT)))
    assert "2 events came instead of 1" in str(first_difference(lines(EVENT), lines(EVENT, EVENT)))


def test_finals_are_compared_without_what_belongs_to_a_run_and_to_the_rounding() -> None:
    live = EVENT | {
        "id": "a/9@s",
        "seq": 9,
        "lag_s": 3.0,
        "timings_ms": {},
        "probabilities": {"joy": 0.8001, "fear": 0.2},
    }
    interim = EVENT | {"status": "interim"}
    wanted, found = finals(lines(live, {"type": "session.ended"})), finals(lines(interim, EVENT))
    assert first_difference(wanted, found, ROUNDING) is None
    assert first_difference(wanted, finals(lines(EVENT | {"emotion": "fear"})), ROUNDING) is not None
    moved = [EVENT | {"because": [{"utterance": "a/1", "weight": weight}]} for weight in (0.5, 0.5001, 0.6)]
    assert first_difference(lines(moved[0]), lines(moved[1]), ROUNDING) is None
    assert "because.0.weight 0.6" in str(first_difference(lines(moved[0]), lines(moved[2]), ROUNDING))
    farther = EVENT | {"probabilities": {"joy": 0.8003, "fear": 0.2}}
    assert first_difference(wanted, finals(lines(farther)), ROUNDING) is not None
