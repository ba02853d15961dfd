"""Pictures are decoded while the device computes: on one thread, a few ahead, in their order."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

from nca_cli.engine.plan import ImagePlan, Plan
from nca_cli.images import Picture, load_image

AHEAD = 2
"""Pictures that wait in memory."""
Decoded = Callable[[], Picture]
"""Gives the picture, or raises what decoding it raised."""


def decoded_ahead(plan: Plan) -> Iterator[tuple[ImagePlan, Decoded]]:
    """The images of a plan, each with its picture, which is decoded only where x_t of it are
    missing."""
    thread = ThreadPoolExecutor(1, thread_name_prefix="decoding")
    waiting: deque[tuple[ImagePlan, Decoded]] = deque()

    def picture_of(image: ImagePlan) -> Picture:
        space = plan.model.space
        size = space.resolution, plan.fit, space.channels
        return load_image(image.source, *size, digest=image.digest)

    try:
        for image in plan.images:
            decoded = thread.submit(picture_of, image).result if image.noise else _not_needed
            waiting.append((image, decoded))
            if len(waiting) > AHEAD:
                yield waiting.popleft()
        yield from waiting
    finally:
        thread.shutdown(cancel_futures=True)


def _not_needed() -> Picture:
    raise LookupError("nothing of this image is missing")
