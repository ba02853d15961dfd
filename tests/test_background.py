"""Commits in the background: those of one image in order, those of others meanwhile."""

from __future__ import annotations

from threading import Barrier, Event, get_ident

import pytest

from nca_cli.engine.background import ROOM, THREADS, Background


def lanes(background: Background) -> list[str]:
    """Names that different threads serve."""
    served: dict[int, str] = {}
    for name in map(str, range(100)):
        thread: list[int] = []
        background.later(lambda thread=thread: thread.append(get_ident()), name)
        assert background.wait() == []
        served.setdefault(thread[0], name)
    return list(served.values())


def test_one_image_is_written_while_another_waits_for_the_disk():
    background = Background()
    one, other = lanes(background)
    both = Barrier(THREADS, timeout=20)  # broken unless both are under way at once
    background.later(both.wait, one)
    background.later(both.wait, other)
    assert background.wait() == []


def test_what_belongs_to_one_image_is_written_in_order():
    background, done = Background(), []
    for number in range(3 * ROOM):
        background.later(lambda number=number: done.append((number % 3, number)), str(number % 3))
    assert background.wait() == []
    for image in range(3):
        assert [n for i, n in done if i == image] == list(range(image, 3 * ROOM, 3))


def test_a_job_that_fails_keeps_none_of_the_others_from_being_done():
    background, done = Background(), []
    background.later(lambda: 1 / 0, "a")
    for name in "abcdef":
        background.later(lambda name=name: done.append(name), name)
    (error,) = background.wait()
    assert isinstance(error, ZeroDivisionError)
    assert sorted(done) == list("abcdef")


def test_what_a_job_raised_is_raised_by_the_next_check():
    background = Background()
    ended = Event()
    background.later(lambda: 1 / 0, "a")
    background.later(ended.set, "a")
    assert ended.wait(20)
    with pytest.raises(ZeroDivisionError):
        background.check()
