"""What `make soak` tries for hours, tried for seconds: kills, failing calls, damage, rivals."""

from __future__ import annotations

import random
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent))

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="forks, and reads /proc")


def test_what_was_committed_survives_a_kill_of_a_command(capsys):
    from soak.kill import SCENES, kill_at_random

    few = [scene for scene in SCENES if scene.name in ("import", "rm", "one of three writers")]
    tally = kill_at_random(len(few), 1, tuple(few))
    assert tally.faults == []
    assert (tally.trials, tally.lost, tally.by_hand) == (3, 0, 0)


@pytest.mark.skipif(shutil.which("cc") is None, reason="needs a C compiler")
def test_whatever_call_of_a_commit_fails_the_old_artifact_or_the_new_one_is_whole():
    from soak.faults import run_preloaded

    run_preloaded(
        "from soak.commit import fail_every_call; "
        "raise SystemExit(chr(10).join(fail_every_call(0.01, seed=3)) or None)"
    )


def test_a_full_disk_leaves_what_was_there(capsys):
    from soak.full import SCENES, fill_up

    try:
        tally = fill_up(2, seed=1, scenes=SCENES[:2])
    except subprocess.CalledProcessError:
        pytest.skip("mounting a file system needs root")
    assert tally.faults == []


def test_what_changed_by_chance_is_found_or_reads_as_before(capsys):
    from soak.damage import damage_at_random

    assert damage_at_random(5, seed=1) == []


def test_writers_and_readers_at_once_make_the_store_of_one_process(capsys):
    from soak.race import compete

    assert compete(3.0, seed=1) == []


def test_a_change_is_known_by_its_number_alone():
    from soak.mutate import mutated

    content = bytes(range(256)) * 4
    one, other = (mutated(content, random.Random("0 7"), [content]) for _ in range(2))
    assert one == other != content
