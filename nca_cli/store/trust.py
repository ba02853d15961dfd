"""What is vouched for. A part is read only once its content was found to be what was written.

A part is vouched for when its file has the size and the time at which owner (image, space, recipe),
structure and content digest were last found right. Who commits vouches for what was read back; who
opens a part that nobody vouches for has it checked first, in a process that may hang or crash.
"""

from __future__ import annotations

from pathlib import Path

from nca_cli.errors import DamagedArtifact, StoreError
from nca_cli.store.check import ALL, TREE
from nca_cli.store.head import PartHead
from nca_cli.store.index import Index, Stamp, stamp_of
from nca_cli.store.location import Location


class Trust:
    """Of one store; `folder` is where its index may lie. Without `check`, all is trusted."""

    def __init__(self, folder: Path | None, check: bool = True):
        self._index, self._check = Index(folder), check
        self._damaged: dict[tuple[str, Stamp], DamagedArtifact] = {}
        """A part that is damaged stays so while its file does not change. One that could not be
        checked may be the next time."""

    def require(self, part: Location) -> None:
        """Raise `DamagedArtifact` for a part that is not what was written, `StoreError` for one
        that cannot be checked."""
        self._require(part, ALL)

    def require_tree(self, whole: Location) -> None:
        """As `require`, for what a packed file says it holds."""
        self._require(whole, TREE)

    def head(self, part: Location) -> PartHead | None:
        """What a part says of itself, where that is known of it as it is now."""
        stamp = stamp_of(part.path)
        return None if stamp is None else self._index.head(part.in_store, stamp)

    def _require(self, part: Location, what: str) -> None:
        if not self._check:
            return
        stamp = stamp_of(part.path)
        if stamp is None or self._index.vouches(part.in_store, stamp):
            return  # what there is to say of no file, opening it says
        if known := self._damaged.get((part.in_store, stamp)):
            raise known.with_traceback(None)
        if error := _found(part, what):
            if isinstance(error, DamagedArtifact):
                self._damaged[part.in_store, stamp] = error
            raise error
        self.vouch(part, stamp)  # where a writer has replaced it, that one vouches for it

    def vouch(self, part: Location, stamp: Stamp | None, head: PartHead | None = None) -> None:
        """Remember that a part was found right with this stamp, unless its file has changed."""
        if stamp is not None and stamp_of(part.path) == stamp:
            self._index.add(part.in_store, stamp, head)

    def remember(self, part: Location, stamp: Stamp | None, head: PartHead) -> None:
        """Keep what was read of a part, if it is vouched for as it is now."""
        if stamp is not None and self._index.vouches(part.in_store, stamp):
            self.vouch(part, stamp, head)


def _found(part: Location, what: str) -> StoreError | None:
    """What is wrong with a part."""
    from nca_cli.store.child import shared  # a reader whose parts are vouched for needs no process

    try:
        checked = shared().check(part, what)
    except (OSError, RuntimeError) as error:
        hint = "read it without a check: nca --no-check, then the same command"
        return StoreError(part.path, f"cannot be checked ({error})", hint)
    if not checked.reason:
        return None
    if checked.damaged:
        return DamagedArtifact(str(part), checked.reason)
    return StoreError(part.path, checked.reason, checked.hint or None)
