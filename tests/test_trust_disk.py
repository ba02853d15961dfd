"""A disk that fails for a moment: a clear line, nothing lost, and no sound file called damaged."""

from __future__ import annotations

import errno
import os

import h5py
import pytest
from stores import assert_holds, commit

from nca_cli.errors import DamagedArtifact, StoreError, UsageError
from nca_cli.outputs import HDF5, Outputs
from nca_cli.store import Store
from nca_cli.store.files import locked
from nca_cli.store.opening import explained
from nca_cli.store.pack import pack

HDF5_SAYS = (
    "Unable to synchronously open object (file read failed: time = Sat Nov 28 12:00:00 2026\n"
    ", filename = 'noise.h5', file descriptor = 5, errno = {0}, error message = '{1}', buf = 0x55, "
    "total read size = 512, bytes this sub-read = 512, offset = 0)"
)
"""What HDF5 1.14 and 2.0 write where `pread` fails."""


@pytest.mark.parametrize("kind", [OSError, KeyError, RuntimeError])
@pytest.mark.parametrize("number", [errno.EIO, errno.ENXIO, errno.ENODEV, errno.EACCES])
def test_bytes_that_a_disk_did_not_give_once_are_no_damage(tmp_path, kind, number):
    """By the time that it is asked what was wrong, the disk may read again."""
    path = commit(Store(tmp_path / "store"), (100,)).parts[0].path
    error = explained(path, str(path), kind(HDF5_SAYS.format(number, os.strerror(number))))
    assert not isinstance(error, DamagedArtifact)
    assert os.strerror(number) in error.what
    assert "check the disk" in error.hint


def test_a_file_that_is_not_hdf5_is_still_damage(tmp_path):
    path = tmp_path / "noise.h5"
    path.write_bytes(b"nothing of the kind")
    with pytest.raises(OSError, match="signature") as raised:
        h5py.File(path, "r")
    assert isinstance(explained(path, str(path), raised.value), DamagedArtifact)


@pytest.mark.skipif(os.name == "nt", reason="Windows has other locks")
def test_a_lock_that_cannot_be_given_back_is_one_line_and_is_held_by_nobody(tmp_path, monkeypatch):
    import fcntl

    whole, failed = fcntl.flock, []

    def flock(handle, operation):
        if operation & fcntl.LOCK_UN and not failed:
            failed.append(handle)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        whole(handle, operation)

    monkeypatch.setattr(fcntl, "flock", flock)
    with pytest.raises(StoreError, match="Input/output error"), locked(tmp_path, "key"):
        pass
    assert failed
    store = Store(tmp_path)
    assert_holds(commit(store, (100,)), [(100, 0)])
    with locked(tmp_path, "key"):  # it would wait for ever
        pass


@pytest.mark.parametrize("number", [errno.EIO, errno.EACCES, errno.ENOSPC])
def test_a_packed_store_that_cannot_be_read_now_is_not_called_another_kind_of_file(
    tmp_path, monkeypatch, number
):
    commit(Store(tmp_path / "store"), (100,))
    pack(Store(tmp_path / "store"), tmp_path / "whole.h5")

    def fails(*arguments, **settings):
        raise OSError(HDF5_SAYS.format(number, os.strerror(number)))

    monkeypatch.setattr(h5py, "File", fails)
    with pytest.raises(StoreError, match=os.strerror(number)):
        Outputs().check(tmp_path / "whole.h5", HDF5)


def test_a_packed_store_that_is_damaged_is_not_written_over(tmp_path):
    commit(Store(tmp_path / "store"), (100,))
    pack(Store(tmp_path / "store"), tmp_path / "whole.h5")
    content = (tmp_path / "whole.h5").read_bytes()
    (tmp_path / "whole.h5").write_bytes(content[: len(content) // 2])
    with pytest.raises(UsageError, match="not a packed store"):
        Outputs().check(tmp_path / "whole.h5", HDF5)
