"""Some of many images: the first ones, or a sample that everybody who asks gets."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

from nca_cli.errors import UsageError

Image = TypeVar("Image")


@dataclass(frozen=True)
class Choice:
    """The first `limit` images, or `sample` of them at random; neither: all.

    Raises `UsageError` for what is no choice.
    """

    limit: int | None = None
    sample: int | None = None
    seed: int | None = None
    """Which sample; `None` is 0."""

    def __post_init__(self) -> None:
        for option, count in (("--limit", self.limit), ("--sample", self.sample)):
            if count is not None and count < 1:
                raise UsageError(f"{option} {count} takes no image", "give a number above 0")
        if self.limit is not None and self.sample is not None:
            raise UsageError("--limit and --sample do not go together", "take the first or any")
        if self.seed is not None and self.sample is None:
            raise UsageError("--sample-seed without --sample", "say how many: --sample 100")

    def of(self, images: Sequence[Image], names: Sequence[str]) -> list[Image]:
        """The images chosen, in their order; a sample is drawn by `names` alone.

        Every name has a rank, the SHA-256 of seed and name, and the lowest ranks are taken. So a
        sample holds all smaller ones of its seed, and an image that is added or gone changes one
        place at most. Of equal names the second, third, … have ranks of their own. Raises
        `UsageError` when there are fewer images than the sample is to have.
        """
        if self.sample is None:
            return list(images[: self.limit])
        if 0 < len(images) < self.sample:
            raise UsageError(f"--sample {self.sample}, but only {len(images)} found",
                             "leave it out to take all")  # fmt: skip
        ranks = _ranks(names, self.seed or 0)
        drawn = sorted(range(len(images)), key=ranks.__getitem__)[: self.sample]
        return [images[i] for i in sorted(drawn)]


def _ranks(names: Sequence[str], seed: int) -> list[bytes]:
    seen: Counter[str] = Counter()
    ranks = []
    for name in (unicodedata.normalize("NFC", name) for name in names):
        text = f"nca-sample {seed} {seen[name]}\n{name}"
        ranks.append(hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest())
        seen[name] += 1
    return ranks
