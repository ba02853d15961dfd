"""The checkpoints of a run as models, each found as `--model` would find it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from nca_cli.errors import Complain, ModelError, NcaError
from nca_cli.models import Model, find_model
from nca_cli.models.origins import safe_name
from nca_cli.models.reading import UNSAID, FileChoice
from nca_cli.models.space import Trained
from nca_cli.runs.find import SavedStep, TrainingRun
from nca_cli.runs.whole import HalfWritten, is_whole

ONE_RUN = "a run's checkpoints are of one network: --at chooses among them"


def models_of(
    run: TrainingRun, on_error: Complain | None = None, told: FileChoice = UNSAID
) -> list[Model]:
    """The checkpoints of a run, by rising step, all under its name and in one space.

    One that cannot be used goes to `on_error` (without it: raised) and is left out: half-written,
    incomplete, or of another network or schedule than the first. `told` is about their files.
    """
    found: list[Model] = []
    for saved in run.steps:
        try:
            model = _model(run, saved, told)
            if found:
                _check_same(run, saved.step, found[0], model)
            found.append(model)
        except NcaError as error:
            if on_error is None:
                raise
            on_error(error)
    return found


def _model(run: TrainingRun, saved: SavedStep, told: FileChoice) -> Model:
    if saved.path is not None and not is_whole(saved.path):
        raise HalfWritten(f"{run.name} step {saved.step}", saved.path)
    model = find_model(saved.source, step=saved.step, told=told)
    trained = Trained(run.name, saved.step, saved.weights, run.settings)
    return replace(model, name=safe_name(run.name), source=run.source, trained=trained)


def _check_same(run: TrainingRun, step: int, first: Model, other: Model) -> None:
    """That the model of a step is of one training with the first. Raises `ModelError`."""
    for what, of in COMPARED.items():
        if of(first) != of(other):
            begun = first.trained.step if first.trained else 0
            reason = f"has another {what} than step {begun}"
            raise ModelError(f"{run.name} step {step}", reason, ONE_RUN)


COMPARED: dict[str, Callable[[Model], object]] = {
    "schedule": lambda model: model.space.schedule.describe(),
    "shape": lambda model: (model.space.shape, model.space.resolution, model.space.channels),
    "autoencoder": lambda model: (model.space.autoencoder, model.space.latent_scale),
    "network": lambda model: model.origin.architecture(model),
}
"""What all checkpoints of a run share, and where it is told."""
