"""Runs: one training each, its checkpoints in the order of their steps."""

from nca_cli.runs.find import SavedStep, TrainingRun, find_run, name_of
from nca_cli.runs.models import models_of
from nca_cli.runs.whole import Unfinished, is_whole

__all__ = [
    "SavedStep",
    "TrainingRun",
    "Unfinished",
    "find_run",
    "is_whole",
    "models_of",
    "name_of",
]
