"""Which names of conversations and speakers are valid."""

import unicodedata

ALL_CONVERSATIONS = "*"  # in place of a conversation's name, where a subscriber wants all of them


def name_problem(what: str, name: str) -> str | None:
    """What is wrong with a name, in a sentence, or None. Names become parts of MQTT topics."""
    if not 1 <= len(name) <= 64:
        return f"{what} needs 1 to 64 characters, not {len(name)}."
    if any(char in "/+#" or _unprintable(char) for char in name):
        return f"{what} may not contain '/', '+', '#' or control characters."
    return f"{what} may not begin or end with a space." if name != name.strip() else None


def _unprintable(char: str) -> bool:
    """Control characters, surrogates, line separators, and Unicode's noncharacters: MQTT brokers hang up on them."""
    code = ord(char)
    noncharacter = 0xFDD0 <= code <= 0xFDEF or code & 0xFFFE == 0xFFFE
    return noncharacter or unicodedata.category(char) in ("Cc", "Cs", "Zl", "Zp")
