"""A rectangle of every picture, as it was asked for."""

from __future__ import annotations

from dataclasses import dataclass

from nca_cli.errors import UsageError


@dataclass(frozen=True)
class Zoom:
    """A rectangle of every picture: in its pixels, or in fractions of its sides."""

    x: float
    y: float
    w: float
    h: float
    fractions: bool = False

    @classmethod
    def parse(cls, words: str) -> Zoom:
        """`x,y,w,h`: whole numbers are pixels, numbers with a point fractions of the sides."""
        try:
            x, y, w, h = (float(part) for part in words.split(","))
        except ValueError:
            raise _wrong(words) from None
        zoom = cls(x, y, w, h, fractions="." in words)
        if not (min(x, y) >= 0 and min(w, h) > 0 and zoom._inside(1, 1)):
            raise _wrong(words)
        return zoom

    def _inside(self, width: int, height: int) -> bool:
        ends = (self.x + self.w, self.y + self.h)
        return not self.fractions or max(ends) <= 1 + 1e-9

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Left, top, right, bottom in the pixels of a picture. Raises `UsageError`."""
        across, down = (width, height) if self.fractions else (1, 1)
        left, top = round(self.x * across), round(self.y * down)
        right = max(left + 1, round((self.x + self.w) * across))
        bottom = max(top + 1, round((self.y + self.h) * down))
        if right > width or bottom > height:
            raise UsageError(
                f"--zoom {self} reaches beyond a picture of {width}×{height} pixels",
                "pictures of several sizes: fractions, such as 0.4,0.4,0.25,0.25",
            )
        return left, top, right, bottom

    def __str__(self) -> str:
        return ",".join(f"{value:g}" for value in (self.x, self.y, self.w, self.h))


def _wrong(words: str) -> UsageError:
    return UsageError(
        f"--zoom {words!r} is not x,y,w,h inside the picture",
        "pixels: 24,16,32,32, or fractions of its sides: 0.4,0.25,0.5,0.5",
    )
