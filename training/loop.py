"""A small training loop: seeded by step, resumable, averaged.

Step n draws its batch and noise from a generator keyed by (seed, n), so a run that was stopped and
resumed goes on as if it had not been. The learning rate warms up, holds, and falls linearly to
zero over the last `decay` steps: the end may be moved while the run is on its plateau.
"""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from muon import Muon


@dataclass(frozen=True)
class Run:
    """Settings of one run; `folder` receives `checkpoint.pt` and `curve.jsonl`."""

    folder: Path
    steps: int
    decay: int  # steps of linear decay at the end
    lr: float = 0.01  # of matrices, which Muon steps
    adam_lr: float = 1.5e-3  # of everything else
    warm_up: int = 200
    ema: float = 0.999
    seed: int = 0
    save_every: int = 250
    log_every: int = 25


def train(
    model: torch.nn.Module,
    loss_at: Callable,
    run: Run,
    optimiser_of: Callable[[torch.nn.Module], torch.optim.Optimizer] | None = None,
    keep: Callable[[int, torch.nn.Module, torch.nn.Module], None] = lambda *state: None,
) -> torch.nn.Module:
    """Minimise `loss_at(model, generator) -> (loss, numbers to log)`; return the averaged model.

    `loss_at` may keep state of its own in `loss_at.state`, a dict of tensors. `optimiser_of` makes
    another optimiser than Muon. `keep(step, model, average)` hears of every step, and of step 0.
    """
    run.folder.mkdir(parents=True, exist_ok=True)
    optimiser = optimiser_of(model) if optimiser_of else Muon(model, run.lr, run.adam_lr)
    peaks = [group["lr"] for group in optimiser.param_groups]
    average = copy.deepcopy(model).requires_grad_(False)
    start, begun, logged = _resume(run, model, average, optimiser, loss_at), time.monotonic(), []
    if start == 0:
        keep(0, model, average)
    for step in range(start, run.steps):
        for group, peak in zip(optimiser.param_groups, peaks, strict=True):
            group["lr"] = peak * _rate(step, run)
        loss, numbers = loss_at(model, torch.Generator().manual_seed(run.seed * 10_000_019 + step))
        optimiser.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimiser.step()
        _average(average, model, min(run.ema, (1 + step) / (10 + step)))
        keep(step + 1, model, average)
        logged.append(numbers)
        if (step + 1) % run.log_every == 0:
            seconds = (time.monotonic() - begun) / (step + 1 - start)
            _log(run, step + 1, logged, seconds)
            logged = []
        if (step + 1) % run.save_every == 0 or step + 1 == run.steps:
            _save(run, step + 1, model, average, optimiser, loss_at)
    return average


def _rate(step: int, run: Run) -> float:
    """Warm-up, plateau, linear decay to zero."""
    return max(0.0, min(1.0, (step + 1) / run.warm_up, (run.steps - step) / max(1, run.decay)))


@torch.no_grad()
def _average(average: torch.nn.Module, model: torch.nn.Module, keep: float) -> None:
    torch._foreach_lerp_(list(average.parameters()), list(model.parameters()), 1 - keep)


def _log(run: Run, step: int, logged: list[dict], seconds: float) -> None:
    means = {k: round(sum(row[k] for row in logged) / len(logged), 5) for k in logged[0]}
    line = json.dumps({"step": step, **means, "ms_per_step": round(seconds * 1e3)})
    with (run.folder / "curve.jsonl").open("a") as curve:
        curve.write(line + "\n")
    print(line, flush=True)


def _save(run: Run, step: int, model, average, optimiser, loss_at) -> None:
    state = {
        "step": step,
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimiser": optimiser.state_dict(),
        "loss": getattr(loss_at, "state", {}),
    }
    torch.save(state, run.folder / "checkpoint.tmp")
    (run.folder / "checkpoint.tmp").replace(run.folder / "checkpoint.pt")


def _resume(run: Run, model, average, optimiser, loss_at) -> int:
    path = run.folder / "checkpoint.pt"
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    average.load_state_dict(state["average"])
    optimiser.load_state_dict(state["optimiser"])
    for key, value in state["loss"].items():
        loss_at.state[key].copy_(value)
    return state["step"]
