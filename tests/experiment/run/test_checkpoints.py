"""Checkpoints and the metrics' file: whole, damaged, cut short, unfinished."""

import json
import os
import shutil

import numpy as np
import pytest

from a2c_jax import Metrics
from a2c_jax.experiment.run import checkpoints, series
from a2c_jax.experiment.run.checkpoints import Checkpoint
from a2c_jax.experiment.run.series import SeriesEnd

ARRAYS = {
    "params.kernel": np.arange(600, dtype=np.float32).reshape(3, 200),
    "key": np.array([[1, 2], [3, 2**32 - 1]], np.uint32),
    "update": np.array([7, 7, 7], np.int32),
    "nothing": np.zeros((3, 0), np.float32),
}
ABOUT = {"run": {"env": "CartPole-v1", "seeds": [0, 1, 2], "rate": 0.1}, "none": None}


@pytest.fixture
def folder(tmp_path):
    """A checkpoint in a folder whose name has every kind of character."""
    folder = tmp_path / "w [2024] lr[0.1] a*b? [bold]x {x} ü %20#" / "checkpoints"
    folder.mkdir(parents=True)
    checkpoints.save(folder, 5, Checkpoint(ARRAYS, ABOUT))
    return folder


def assert_whole(checkpoint):
    assert checkpoint.about == ABOUT
    assert checkpoint.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert checkpoint.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(checkpoint.arrays[name], array)


def test_a_checkpoint_comes_back_as_it_was(capfd, folder):
    assert checkpoints.saved(folder) == [5]
    assert_whole(checkpoints.load(folder, 5))
    assert "WARNING" not in capfd.readouterr().err


def test_the_last_two_are_kept_by_number_and_unfinished_saves_are_removed(folder):
    (folder / "500.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    assert checkpoints.saved(folder) == [5]
    for number in (40, 100):
        checkpoints.save(folder, number, Checkpoint(ARRAYS, ABOUT))
    assert checkpoints.saved(folder) == [40, 100]
    assert {path.name for path in folder.iterdir()} == {"40", "100"}
    assert checkpoints.saved(folder / "not there") == []


def test_what_does_not_fit_its_checksums_or_its_name_is_found(folder):
    other = folder / "other"
    changed = dict(ARRAYS, update=np.array([7, 7, 8], np.int32))
    checkpoints.save(other, 5, Checkpoint(changed, ABOUT))
    shutil.rmtree(other / "5" / "seal")
    shutil.copytree(folder / "5" / "seal", other / "5" / "seal")
    with pytest.raises(ValueError, match="it is damaged: the checksum of update does not match"):
        checkpoints.load(other, 5)
    (folder / "5").rename(folder / "6")
    with pytest.raises(ValueError, match="it is checkpoint 5 under another name"):
        checkpoints.load(folder, 6)


def test_arrays_larger_than_expected_are_not_read(folder):
    size = sum(array.nbytes for array in ARRAYS.values())
    assert_whole(checkpoints.load(folder, 5, size))
    with pytest.raises(ValueError, match=r"its arrays would take [\d,]+ bytes"):
        checkpoints.load(folder, 5, size - 1)
    largest = max(folder.rglob(".zarray"), key=os.path.getsize)
    description = json.loads(largest.read_text())
    description["chunks"] = [10**9] * len(description["shape"])
    largest.write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"its arrays would take \d,[\d,]+ bytes"):
        checkpoints.load(folder, 5, 10**9)


def test_what_cannot_be_saved_is_an_os_error_and_leaves_the_older_ones(folder, monkeypatch, capfd):
    def fail(place):
        raise OSError(28, "x")

    monkeypatch.setattr(checkpoints, "_flush", fail)
    with pytest.raises(OSError, match="x"):
        checkpoints.save(folder, 6, Checkpoint(ARRAYS, ABOUT))
    shutil.rmtree(folder / "6")
    with pytest.raises(OSError, match="exist"):
        checkpoints.save(folder, 5, Checkpoint(ARRAYS, ABOUT))
    capfd.readouterr()
    full = shutil.disk_usage(folder)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full)
    with pytest.raises(OSError, match=r"needs [\d,]+ bytes, but 10,000 are free"):
        checkpoints.save(folder, 7, Checkpoint(ARRAYS, ABOUT))
    assert capfd.readouterr().err == "", "Orbax prints a hundred lines when a disk is full"
    assert checkpoints.saved(folder) == [5]
    assert_whole(checkpoints.load(folder, 5))


def metrics(num_updates):
    """The first updates of three seeds."""
    fields = np.random.default_rng(1).normal(size=(len(Metrics._fields), 3, 20))
    return Metrics(*fields.astype(np.float32)[..., :num_updates])


@pytest.mark.parametrize("updates_of_a_block", [3, 1000])
def test_metrics_are_appended_behind_any_end(updates_of_a_block, tmp_path, monkeypatch):
    monkeypatch.setattr(series, "_BLOCK", updates_of_a_block * 3 * series._ROW.itemsize)
    ends = {0: SeriesEnd(0, 0)}
    for start, number in ((0, 4), (4, 5), (5, 20), (4, 9)):
        ends[number] = series.append(tmp_path, ends[start], metrics(number))
        stored = np.load(tmp_path / "metrics.npy")
        assert ends[number].num_updates == len(stored) == number
        for end in {ends[start], ends[number]} - {ends[0]}:
            found, expected = series.read(tmp_path, end, 3), metrics(end.num_updates)
            for name, field in expected._asdict().items():
                np.testing.assert_array_equal(getattr(found, name), field)
                np.testing.assert_array_equal(stored[name].T[:, : end.num_updates], field)
