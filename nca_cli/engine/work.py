"""A request as work to iterate over, one model after another: what commands and Python share."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import zip_longest

from nca_cli.engine.noise import Noising
from nca_cli.engine.request import Request, find_runs, noise_plans, reconstruction_plans
from nca_cli.engine.run import Reconstruction
from nca_cli.errors import Complain, NcaError
from nca_cli.models.load import Loaded
from nca_cli.runs import Unfinished
from nca_cli.store import Store

Work = Noising | Reconstruction
PAUSE = 5.0
"""Seconds between two looks at a training."""


def noisings(
    request: Request, store: Store, device: str = "auto", on_error: Complain | None = None
) -> Iterator[Noising]:
    """The x_t that a request takes; of each model when the one before is done."""
    for plan in noise_plans(request, store, on_error):
        yield Noising(plan, device, request.store_dtype, on_error)


def reconstructions(
    request: Request, store: Store, device: str = "auto", on_error: Complain | None = None
) -> Iterator[Reconstruction]:
    """The x̂0 that a request takes; of each model when the one before is done, its files read
    meanwhile."""
    plans = reconstruction_plans(request, store, on_error)
    kept = Loaded()  # one network may answer under several conditions
    for plan, following in zip_longest(plans, plans[1:]):
        ahead = following.model if following and following.missing else None
        ahead = None if ahead == plan.model else ahead
        kept.prompts = [each.network_recipe.prompt or "" for each in plans
                        if each.missing and each.model == plan.model]  # fmt: skip
        yield Reconstruction(plan, device, store_dtype=request.store_dtype, batch=request.batch,
                             compiled=request.compiled, on_error=on_error, following=ahead,
                             kept=kept)  # fmt: skip
        if ahead is not None:
            kept.clear()


def followed(
    request: Request, store: Store, device: str = "auto", on_error: Complain | None = None, *,
    pause: float = PAUSE,
) -> Iterator[Reconstruction]:  # fmt: skip
    """As `reconstructions`, again and again, while trainings write further checkpoints.

    Looks every `pause` seconds. Checkpoints that are not written to their end are waited for, and
    so is the first one. Ends where every run has the step that its `run.toml` calls its last
    (`steps = 20000`), or all steps that were asked for; otherwise not by itself.
    """
    awaited: list[NcaError] = []
    tried: set[str] = set()  # what did not come out finite would not at the next look either

    def failed(error: NcaError) -> None:
        if isinstance(error, Unfinished):
            awaited.append(error)
        elif on_error is None:
            raise error
        else:
            on_error(error)

    ended = False
    while not ended:
        awaited.clear()
        with suppress(Unfinished):
            present, whole = _present(request)
            works = reconstructions(present, store, device, failed)
            for work in works:
                what = " ".join([work.plan.title, *work.plan.recipes])
                if work.plan.missing and what not in tried:
                    tried.add(what)
                    yield work
            ended = whole and not awaited
        if not ended:
            time.sleep(pause)


def _present(request: Request) -> tuple[Request, bool]:
    """What of a request its runs have by now, and whether that is all. Raises `Unfinished`."""
    runs = find_runs(request)
    if not request.at:
        return request, all(run.has_ended for run in runs)
    there = set.intersection(*({saved.step for saved in run.steps} for run in runs))
    if not (at := [step for step in request.at if step in there]):
        raise Unfinished("none of these steps has a checkpoint yet")
    return replace(request, at=at), len(at) == len(request.at)
