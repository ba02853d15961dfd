"""How the processes of one job speak: one with notes and a bar for all, the others of errors.

Each computes its share, and tells the store how far it is (`store.progress`).
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from nca_cli.cli.console import Output
from nca_cli.cli.interrupt import stop_if_interrupted
from nca_cli.cli.launched import Launch, launched
from nca_cli.shard import Shard

if TYPE_CHECKING:
    from nca_cli.store import Store
    from nca_cli.store.progress import Progress


@dataclass
class Together:
    """This process among those of its job; `launch` is `None` where it is alone."""

    launch: Launch | None = None
    began: float = field(default_factory=time.time)
    _progress: Progress | None = None

    @classmethod
    def with_share(cls, shard: str | None) -> Together:
        """As the environment says, unless `--shard` does. Raises `UsageError`."""
        launch = None if shard else launched()
        if launch and launch.cores:  # torch would take all cores for each of the processes
            os.environ.setdefault("OMP_NUM_THREADS", str(launch.cores))
        return cls(launch)

    def shard(self, given: str | None) -> Shard:
        """This process's share."""
        return self.launch.shard if self.launch else Shard.parse(given) if given else Shard()

    def device(self, wanted: str) -> str:
        """This process's device, where any will do."""
        return self.launch.device(wanted) if self.launch else wanted

    @property
    def workers(self) -> int | None:
        """Processes that this one may start, where others on its machine do the same."""
        return self.launch.cores if self.launch else None

    def output(self, output: Output) -> Output:
        """As it is for the one that speaks, quiet for the others."""
        launch = self.launch
        if launch is None or launch.leads:
            return output
        return Output(json=output.json, quiet=True)

    def note(self, output: Output) -> None:
        """What part of the job the notes are about."""
        if launch := self.launch:
            output.note(f"share {launch.index}/{launch.count}, as {launch.by} says; "
                        "to do all of it here: --shard 0/1")  # fmt: skip

    @contextmanager
    def bar(
        self, store: Store, output: Output, title: str, total: int, unit: str
    ) -> Iterator[Callable[[int], None]]:
        """A bar of what all processes have told of so far, for the one that speaks."""
        if self.launch is None:
            with output.bar(title, total, unit) as advance:
                yield advance
            return
        progress = self._of(store, self.launch)
        if total:
            progress.tell(total=total)
        with output.shared_bar(title, unit, progress.seen) as show:

            def advance(count: int) -> None:
                progress.tell(count)
                show()

            yield advance

    def end(self) -> None:
        """Tell the others that this process is done, if it did anything."""
        if self._progress is not None and self._progress.total:
            self._progress.tell(ended=True)

    def hold(self, store: Store) -> None:
        """Wait for the others before this process fails, where they would be ended with it."""
        if self.launch and self.launch.ends_together:
            self._of(store, self.launch).wait(stop_if_interrupted)

    def _of(self, store: Store, launch: Launch) -> Progress:
        from nca_cli.store.progress import Progress

        if self._progress is None:
            job = launch.job, launch.index, launch.count, launch.again
            self._progress = Progress(store.folder, *job, self.began)
        return self._progress
