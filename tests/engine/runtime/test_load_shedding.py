from engine.runtime.load_shedding import LoadShedder
from testing.clock import HandClock


def test_the_level_rises_at_once_and_falls_one_at_a_time() -> None:
    hand = HandClock()
    load = LoadShedder(hand)
    levels = []
    for lag_s in (0.0, 0.9, 1.1, 2.5, 9.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.9, *[0.4] * 12):
        hand.time += 1.0
        load.observe("talk", lag_s)
        levels.append(load.level)
    assert levels == [0, 0, 1, 2, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def test_what_each_level_leaves_out() -> None:
    load = LoadShedder(HandClock())
    left = []
    for lag_s in (0.0, 1.0, 2.0, 4.0):
        load.observe("talk", lag_s)
        refusal = load.refusal
        interims, pictures = (sum(map(some, range(12))) for some in (load.interim, load.picture))
        left.append((load.ahead, interims, pictures, refusal is None))
    assert left == [(True, 12, 12, True), (False, 3, 12, True), (False, 0, 4, True), (False, 0, 4, False)]
    assert load.refusal == "the engine is 4 s behind live: try again in a moment"


def test_the_largest_lag_counts_for_all_conversations_until_it_ends() -> None:
    hand = HandClock()
    load = LoadShedder(hand)
    load.observe("slow", 5.0)
    load.observe("quick", 0.0)
    assert load.level == 3
    load.forget("slow")
    for _ in range(15):
        hand.time += 1.0
        load.observe("quick", 0.0)
    assert load.level == 0


def test_some_time_after_the_last_conversation_has_ended_a_new_one_may_start() -> None:
    hand = HandClock()
    load = LoadShedder(hand)
    load.observe("slow", 9.0)
    load.forget("slow")
    assert load.refusal is not None
    hand.time += 4.9
    assert (load.refusal is None, load.level) == (False, 3)
    hand.time += 0.2
    assert (load.refusal, load.level) == (None, 2)
    hand.time += 3600.0
    assert (load.refusal, load.level) == (None, 0)
