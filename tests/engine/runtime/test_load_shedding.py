from engine.runtime.load_shedding import EngineLoad, LoadShedder
from testing.clock import HandClock


def test_the_level_rises_at_once_and_falls_one_at_a_time() -> None:
    hand = HandClock()
    load = LoadShedder(hand)
    levels = []
    for lag_s in (0.0, 0.9, 1.1, 2.5, 9.0, 3.0, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.9, *[0.4] * 12):
        hand.time += 1.0
        load.observe(lag_s)
        levels.append(load.level)
    assert levels == [0, 0, 1, 2, 3, 3, 3, 3, 3, 3, 2, 2, 2, 2, 2, 2, 1, 1, 1, 1, 1, 0, 0, 0, 0]


def test_what_each_level_leaves_out() -> None:
    load = LoadShedder(HandClock())
    left = []
    for lag_s in (0.0, 1.0, 2.0, 4.0):
        load.observe(lag_s)
        interims, pictures = (sum(map(some, range(12))) for some in (load.interim, load.picture))
        left.append((load.ahead, interims, pictures))
    assert left == [(True, 12, 12), (False, 3, 12), (False, 0, 4), (False, 0, 4)]


def test_one_conversation_behind_sheds_its_own_load_and_no_newcomer_is_refused() -> None:
    engine = EngineLoad(HandClock())
    slow, quick = engine.open("slow"), engine.open("quick")
    slow.observe(60.0)
    quick.observe(0.0)
    assert (slow.level, quick.level, engine.refusal()) == (3, 0, None)
    engine.close("quick", quick)
    assert engine.refusal() is None


def test_a_newcomer_is_refused_while_most_conversations_are_behind() -> None:
    engine = EngineLoad(HandClock())
    loads = [engine.open(name) for name in "abcd"]
    for load, lag_s in zip(loads, (9.0, 5.0, 0.0, 0.0), strict=True):
        load.observe(lag_s)
    assert engine.refusal() is None
    loads[2].observe(6.0)
    assert engine.refusal() == "the engine is 5 s behind live: try again in a moment"
    engine.close("a", loads[0])
    engine.close("b", engine.open("c"))  # this one has begun again since
    assert engine.refusal() is None


def test_a_client_that_is_behind_may_open_nothing_more_and_newcomers_are_accepted() -> None:
    engine = EngineLoad(HandClock())
    heavy = [engine.open(f"heavy {number}", ("a", f"token {number}")) for number in range(8)]
    light = engine.open("light", ("b", "token b"))
    for load in heavy:
        load.observe(9.0)
    assert engine.refusal(("a", "token 9")) == "your conversations are 9 s behind live: try again in a moment"
    assert engine.refusal(("c", "token c")) is None
    light.observe(5.0)
    assert engine.refusal(("c", "token c")) == "the engine is 9 s behind live: try again in a moment"


def test_one_token_of_many_addresses_is_one_client() -> None:
    engine = EngineLoad(HandClock())
    for address in "abc":
        engine.open(address, (address, "token 1")).observe(9.0)
    engine.open("d", ("d", "token 2"))
    assert engine.refusal(("e", "token 3")) is None
    assert engine.refusal(("e", "token 1")) is not None
