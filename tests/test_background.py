"""Commits in the background: those of one image in order, those of others meanwhile."""

from __future__ import annotations

from threading import Barrier, Event, get_ident
from time import sleep

import pytest

from nca_cli.engine.background import ROOM, THREADS, Background
from nca_cli.store import turns
from nca_cli.store.files import locked


def lanes(background: Background) -> list[str]:
    """Names that different threads serve."""
    served: dict[int, str] = {}
    for name in map(str, range(100)):
        thread: list[int] = []
        background.later(lambda thread=thread: thread.append(get_ident()), name)
        assert background.wait() == []
        served.setdefault(thread[0], name)
    return list(served.values())


def test_one_image_is_written_while_others_wait_for_the_disk():
    background = Background()
    names, all_ = lanes(background), Barrier(THREADS, timeout=20)  # broken unless all are under way

    def job():
        with turns.waiting():
            all_.wait()

    for name in names:
        background.later(job, name)
    assert len(names) == THREADS
    assert background.wait() == []


def test_images_are_not_worked_on_at_once():
    background, at_work, most = Background(), [], []

    def job():
        for _ in range(20):
            at_work.append(1)
            sleep(0.001)  # all threads would be here
            most.append(len(at_work))
            at_work.pop()
            with turns.waiting():
                sleep(0.001)

    for name in lanes(background):
        background.later(job, name)
    assert background.wait() == []
    assert max(most) == 1


def test_who_waits_for_a_lock_keeps_nobody_from_working(tmp_path):
    """Two images may have one lock file: the first holds it and waits for its turn again while the
    second, whose turn it is, waits for the lock."""
    background, held = Background(), Event()
    one, other, *_ = lanes(background)

    def first():
        with locked(tmp_path, "it"):
            held.set()
            with turns.waiting():
                sleep(0.2)

    def second():
        with turns.waiting():
            held.wait(20)
        with locked(tmp_path, "it"):
            pass

    background.later(first, one)
    background.later(second, other)
    assert background.wait() == []


def test_a_turn_ends_with_what_its_owner_raises():
    background = Background()

    def failing():
        with turns.waiting():
            raise OSError

    names = lanes(background)
    for name in names:
        background.later(failing, name)
    assert [type(error) for error in background.wait()] == [OSError] * THREADS
    for name in names:
        background.later(int, name)
    assert background.wait() == []


def test_who_has_no_turn_waits_without_one():
    with turns.waiting(), turns.waiting():
        pass


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
