from cberl.recent import RecentDict


def test_the_entry_that_was_set_least_recently_is_removed() -> None:
    recent: RecentDict[str, int] = RecentDict(capacity=3)
    for number, name in enumerate("abcad"):
        recent[name] = number
    assert dict(recent) == {"c": 2, "a": 3, "d": 4}
    copied = recent.copy()
    copied["e"] = 5
    assert (list(copied), list(recent)) == (["a", "d", "e"], ["c", "a", "d"])
