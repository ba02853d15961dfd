"""Samples of an artifact in memory."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from nca_cli.store.fields import FIELDS, INDEX

Key = tuple[int | float, int]
"""(t, seed) of a sample."""


@dataclass
class Samples:
    """N samples of one artifact: their t, seed and logSNR `(N,)`, and tensors `(N, C, H, W)`."""

    t: np.ndarray
    seed: np.ndarray
    log_snr: np.ndarray
    tensors: dict[str, np.ndarray] = field(default_factory=dict)

    @classmethod
    def at(
        cls, keys: Sequence[Key], log_snr: Callable[[int | float], float],
        tensors: dict[str, np.ndarray],
    ) -> Samples:  # fmt: skip
        """`tensors` at each (t, seed) of `keys`; `log_snr` is a schedule's."""
        t, seed = (np.array([key[i] for key in keys], None if keys else int) for i in (0, 1))
        return cls(t, seed, np.array([log_snr(t) for t, _ in keys]), tensors)

    @classmethod
    def joined(cls, several: Sequence[Samples]) -> Samples:
        """All of them, in order; they have one layout."""
        t, seed, log_snr = (np.concatenate([getattr(one, key) for one in several]) for key in INDEX)
        tensors = {
            name: np.concatenate([one.tensors[name] for one in several])
            for name in several[0].tensors
        }
        return cls(t, seed, log_snr, tensors)

    def __len__(self) -> int:
        return len(self.t)

    @property
    def keys(self) -> list[Key]:
        """(t, seed) of each sample."""
        return list(zip(self.t.tolist(), self.seed.tolist(), strict=True))

    @property
    def layout(self) -> dict[str, tuple[np.dtype, tuple[int, ...]]]:
        """Tensor name → (dtype, shape of one sample). One part holds one layout."""
        return {name: (tensor.dtype, tensor.shape[1:]) for name, tensor in self.tensors.items()}

    def as_stored(self, dtype: str) -> Samples:
        """As they go into a file: t int64 (or float64, for continuous levels), tensors `dtype`."""
        t = np.asarray(self.t)
        return Samples(
            t.astype(np.int64 if t.dtype.kind in "iu" else np.float64, copy=False),
            np.asarray(self.seed).astype(np.int64, copy=False),
            np.asarray(self.log_snr).astype(np.float64, copy=False),
            {name: np.asarray(tensor).astype(dtype, copy=False)
             for name, tensor in self.tensors.items()},
        )  # fmt: skip

    def in_order(self) -> Samples:
        """The same samples by rising t, then seed."""
        rows = np.lexsort((self.seed, self.t))
        return self if (rows == np.arange(len(rows))).all() else self.take(rows)

    def take(self, rows: np.ndarray | list[int] | slice) -> Samples:
        """The samples at `rows`."""
        tensors = {name: tensor[rows] for name, tensor in self.tensors.items()}
        return Samples(self.t[rows], self.seed[rows], self.log_snr[rows], tensors)

    def without(self, keys: set[Key]) -> Samples:
        """The samples whose (t, seed) is not in `keys`, each (t, seed) once."""
        seen, rows = set(keys), []
        for row, key in enumerate(self.keys):
            if key not in seen:
                seen.add(key)
                rows.append(row)
        return self.take(rows)

    @property
    def bytes_per_sample(self) -> int:
        """Size of one sample in a file, preview included, filters and labels left out."""
        tensors = sum(tensor[:1].nbytes for tensor in self.tensors.values())
        previews = sum(
            3 * tensor.shape[-2] * tensor.shape[-1]
            for name, tensor in self.tensors.items()
            if FIELDS[name].previewed
        )
        return tensors + previews + 8 * len(INDEX) + 8


@dataclass
class Part:
    """The content of one file: text attributes, tensors that belong to all samples, samples."""

    header: dict[str, str]
    fixed: dict[str, np.ndarray]
    samples: Samples

    def joined(self, samples: Samples, fixed: Mapping[str, np.ndarray]) -> Part:
        """This part with more samples, in order, and more fixed tensors; what it holds stays."""
        if len(self.samples):
            samples = Samples.joined([self.samples, samples]) if len(samples) else self.samples
        return Part(self.header, {**fixed, **self.fixed}, samples.in_order())

    def takes(self, samples: Samples) -> bool:
        """Whether samples of this layout may follow the ones that are here."""
        return not len(self.samples) or self.samples.layout == samples.layout
