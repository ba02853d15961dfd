"""Everything that can go wrong for a user, as one line that names the thing and the next step.

Errors carry data; the command line turns them into text and an exit code, once. A bug is no
`NcaError`: it keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any


class NcaError(Exception):
    """`what` is wrong, and (`hint`) what to do next. Both are single lines of plain text."""

    exit_code = 1

    def __init__(self, what: str, hint: str | None = None):
        super().__init__(what)
        self.what = what
        self.hint = hint


Complain = Callable[[NcaError], None]
"""Is told of an error that does not stop the work."""


class UsageError(NcaError):
    """The request itself makes no sense: an unknown name, a level out of range, a bad list."""

    exit_code = 2


class Unconfirmed(UsageError):
    """What is done only with `--yes`: no error, but nothing was done either."""

    def __init__(self, what: str):
        super().__init__(what, "add --yes to do it")


def one_of(given: str, known: Iterable[str]) -> str:
    """What to do about an unknown word: the nearest known ones, else all of them."""
    names = list(known)
    return did_you_mean([given], names) or f"one of: {', '.join(names)}"


def did_you_mean(given: Sequence[str], known: Iterable[str]) -> str:
    """`did you mean cat or dog?`: of the known names, those that are nearest to the given ones."""
    from difflib import get_close_matches

    names, most = list(known), 2 if len(given) == 1 else 1
    near: dict[str, None] = {}
    for word in given:
        plain = word.lower().replace("_", "-")
        some = get_close_matches(plain, names, most) or get_close_matches(word, names, most)
        near.update(dict.fromkeys(some))
    return f"did you mean {' or '.join(near)}?" if near else ""


def few(values: Sequence[Any]) -> str:
    """`0, 100, …, 900`; four values in full."""
    texts = [f"{each:g}" if isinstance(each, float) else str(each) for each in values]
    return ", ".join(texts if len(texts) <= 4 else [*texts[:2], "…", texts[-1]])


class ImageError(NcaError):
    """An input picture that cannot be used. One bad image never stops the others."""

    def __init__(self, path: object, reason: str, hint: str | None = None):
        super().__init__(f"{path}: {reason}", hint)
        self.path = Path(str(path))
        self.reason = reason


class ModelError(NcaError):
    """A model that is unknown, unreachable, incomplete or not of a kind that nca can run."""

    def __init__(self, model: str, reason: str, hint: str | None = None):
        super().__init__(f"model {model}: {reason}", hint)
        self.model = model
        self.reason = reason


class StoreError(NcaError):
    """A store that cannot be read or written as a whole."""

    def __init__(self, path: str | Path, reason: str, hint: str | None = None):
        super().__init__(f"{path}: {reason}", hint)
        self.path = Path(path)
        self.reason = reason


class NotAStore(StoreError):
    """A file or folder that could be read, and is no store."""


class DamagedArtifact(StoreError):
    """One artifact whose content is not what was written. The others stay readable."""

    def __init__(self, path: str | Path, reason: str):
        super().__init__(path, f"damaged artifact ({reason})", "set it aside: nca verify --repair")
        self.damage = reason


LIST_HINT = "list what is stored: nca ls"
"""What to do where nobody can tell what would fit."""


class NothingStored(NcaError):
    """The store holds nothing that fits a request; `hint` is the command that computes it, or
    `LIST_HINT`.

    `store` is the one that the command has yet to name (see `Store.named`).
    """

    def __init__(self, what: str, hint: str | None = None, store: Path | None = None):
        super().__init__(what, hint)
        self.store = store
