import os
import stat
import threading
from pathlib import Path

import pytest

from engine.access.keys import KeyFileError, Keys, KeyWatcher, key_file, load_keys, read_keys, save_keys
from engine.watched_file import CHECK_S
from testing.clock import HandClock


def test_keys_are_made_once_and_only_their_owner_can_read_them(tmp_path: Path) -> None:
    path = tmp_path / "state" / "keys.json"
    keys, created = load_keys(path)
    assert (created, len(keys.signing), len(keys.signing[0].secret) >= 43) == (True, 1, True)
    assert load_keys(path) == (keys, False)
    save_keys(path, keys.rotated())
    assert read_keys(path).signing[1:] == keys.signing
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    path.chmod(0o640)
    with pytest.raises(KeyFileError, match="others can read the keys"):
        load_keys(path)


DAMAGED = ("", "[]", "{}", '{"signing": [], "denied": {}}', '{"signing": [{"id": 1}], "denied": {}}')


@pytest.mark.parametrize("text", DAMAGED)
def test_a_damaged_file_is_one_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "keys.json"
    path.touch(mode=0o600)
    path.write_text(text)
    with pytest.raises(KeyFileError, match="move it away, and new keys are made"):
        load_keys(path)
    with pytest.raises(KeyFileError, match="cannot be used for keys"):
        load_keys(path / "below")


def test_a_change_of_the_file_is_noticed_within_a_second_and_its_loss_changes_nothing(tmp_path: Path) -> None:
    path, hand = tmp_path / "keys.json", HandClock()
    first, _ = load_keys(path)
    watcher = KeyWatcher(path, first, hand)
    save_keys(path, second := first.rotated())
    assert watcher() == first
    hand.time += CHECK_S
    assert watcher() == second
    path.unlink()
    hand.time += CHECK_S
    assert watcher() == second


def test_a_disk_that_does_not_answer_changes_nothing(tmp_path: Path) -> None:
    """A pipe in place of the file: whoever opens it waits for ever."""
    path, hand = tmp_path / "keys.json", HandClock()
    keys, _ = load_keys(path)
    watcher = KeyWatcher(path, keys, hand)
    path.unlink()
    os.mkfifo(path, 0o600)
    for _ in range(3):
        hand.time += CHECK_S
        assert watcher() == keys
    hanging = [thread for thread in threading.enumerate() if thread.name == "watched file"]
    assert len(hanging) == 1
    path.write_text("", encoding="utf-8")  # lets it go on
    hanging[0].join()
    with pytest.raises(KeyFileError):
        watcher()


def test_the_file_is_in_the_user_s_state_unless_a_setting_says_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    assert key_file("") == tmp_path / "cberl" / "keys.json"
    assert key_file("mine.json") == Path("mine.json")
    assert isinstance(load_keys(key_file(""))[0], Keys)
