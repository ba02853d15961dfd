"""Words of sentences: names, counts and lists."""

from __future__ import annotations

import unicodedata

_TURNING = {"R", "AL", "RLE", "LRE", "RLO", "LRO", "RLI", "LRI", "FSI", "PDF", "PDI"}


def isolated(name: str) -> str:
    """A name that cannot turn the words around it: what runs from right to left stays inside."""
    turns = any(unicodedata.bidirectional(letter) in _TURNING for letter in name)
    return f"\N{FIRST STRONG ISOLATE}{name}\N{POP DIRECTIONAL ISOLATE}" if turns else name


def count(n: int, what: str) -> str:
    """`1 image`, `3 images`."""
    return f"{n} {what}" if n == 1 else f"{n} {what}s"


def listed(words: list[str]) -> str:
    """`a`, `a and b`, `a, b and c`."""
    return " and ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
