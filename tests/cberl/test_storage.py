"""Files are replaced as a whole, and cache files are named by what they were made from."""

from pathlib import Path

import pytest

from cberl.storage import cache_file, fingerprint, replacing


def test_a_file_is_replaced_when_the_block_ends(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    with replacing(path) as unfinished:
        unfinished.write_text("one")
        assert not path.exists()
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_a_file_stays_as_it_was_when_the_block_raises(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")

    def fail() -> None:
        with replacing(path) as unfinished:
            unfinished.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_the_name_of_a_cache_file_changes_with_what_it_is_made_from() -> None:
    one, same, other = (cache_file(Path("cache"), "meld", made_from) for made_from in (["a", 1], ["a", 1], ["a", 2]))
    assert one == same != other
    assert one.name == "meld-2657442bb4a48d62.safetensors"  # must not change: users' caches are named so


def test_a_fingerprint_covers_the_bytes_of_existing_files_in_order(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    one.write_bytes(b"a")
    two.write_bytes(b"b")
    assert fingerprint(one, tmp_path / "missing", two) == fingerprint(one, two) != fingerprint(two, one)
