"""Right-to-left writing for what places one letter after another, from left to right.

Letters take the order in which they stand on paper (Unicode's annex 9), brackets turn around, and
Arabic letters join: Unicode has a character for each form of each letter, and its decomposition
says which. So pixels, PDF and SVG show the same, and no library has to shape.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable
from functools import cache

MIRRORED = str.maketrans("()[]{}<>«»‹›", ")(][}{><»«›‹")
LAM_ALEF = range(0xFEF5, 0xFEFD)
"""The two letters that are written as one."""


def visual(text: str, has: Callable[[str], bool]) -> str:
    """`text` from left to right as it stands on paper; `has`: whether there is a character."""
    if not any(unicodedata.bidirectional(c) in ("R", "AL", "AN") for c in text):
        return text
    from fpdf.bidi import BidiParagraph

    characters = BidiParagraph(joined(text, has)).get_reordered_characters()
    return "".join(
        c.character.translate(MIRRORED) if c.embedding_level % 2 else c.character
        for c in characters
    )


def joined(text: str, has: Callable[[str], bool]) -> str:
    """Arabic letters in the forms that they take beside each other, in the order of reading."""
    units, forms = _units(text), _forms()

    def join(before: int) -> bool:
        """Whether a letter joins the next one."""
        if not 0 <= before < len(units) - 1:
            return False
        return (units[before], "<initial>") in forms and (units[before + 1], "<final>") in forms

    shown = []
    for index, unit in enumerate(units):
        kind = _KINDS[join(index - 1), join(index)]
        form = forms.get((unit, kind), unit)
        shown.append(form if has(form) else unit)
    return "".join(shown)


_KINDS = {
    (False, False): "<isolated>",
    (False, True): "<initial>",
    (True, True): "<medial>",
    (True, False): "<final>",
}
"""(joined to the letter before, to the one after) → form."""


@cache
def _forms() -> dict[tuple[str, str], str]:
    """(letter, form) → its character, from Unicode's presentation forms A and B."""
    found: dict[tuple[str, str], str] = {}
    for code in (*range(0xFB50, 0xFC00), *range(0xFE70, 0xFEFD)):
        kind, *parts = unicodedata.decomposition(chr(code)).split() or [""]
        letters = "".join(chr(int(part, 16)) for part in parts)
        if len(letters) == 1 or code in LAM_ALEF:
            found.setdefault((letters, kind), chr(code))
    return found


def _units(text: str) -> list[str]:
    """Letters, lam and alef together."""
    units: list[str] = []
    for letter in text:
        if units and (units[-1] + letter, "<isolated>") in _forms():
            units[-1] += letter
        else:
            units.append(letter)
    return units
