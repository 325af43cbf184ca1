"""Checkpoints and the metrics' file: whole, damaged, cut short, unfinished."""

import json
import os
import random
import shutil

import numpy as np
import pytest
from test_metrics import some_metrics

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
    checkpoints.save(tmp_path, 5, Checkpoint(ARRAYS, ABOUT))
    return tmp_path


def assert_whole(checkpoint):
    assert checkpoint.about == ABOUT
    assert checkpoint.arrays.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert checkpoint.arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(checkpoint.arrays[name], array)


def test_a_checkpoint_comes_back_as_it_was(folder):
    assert checkpoints.saved(folder) == [5]
    assert_whole(checkpoints.load(folder, 5))


@pytest.mark.parametrize("name", ["w [2024]", "lr[0.1]", "[bold]x", "a*b?", "{x}", "ü %20#"])
def test_every_character_may_be_in_a_path(name, tmp_path, capfd):
    folder = tmp_path / name / "checkpoints"
    folder.mkdir(parents=True)
    checkpoints.save(folder, 5, Checkpoint(ARRAYS, ABOUT))
    assert_whole(checkpoints.load(folder, 5))
    assert "WARNING" not in capfd.readouterr().err


def test_the_last_two_are_kept_in_order_of_their_numbers(folder):
    for number in (40, 100):
        checkpoints.save(folder, number, Checkpoint(ARRAYS, ABOUT))
    assert checkpoints.saved(folder) == [40, 100]


def test_unfinished_saves_are_no_checkpoints_and_are_removed(folder):
    (folder / "40.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    assert checkpoints.saved(folder) == [5]
    checkpoints.save(folder, 7, Checkpoint(ARRAYS, ABOUT))
    assert {path.name for path in folder.iterdir()} == {"5", "7"}
    assert checkpoints.saved(folder / "not there") == []


@pytest.mark.parametrize("how", ["cut", "flip"])
def test_a_damaged_file_is_found_wherever_it_is(folder, how):
    """Whatever happens to whichever file: the right arrays, or a sentence; never wrong arrays."""
    dice = random.Random(0)
    whole = folder / "whole"
    shutil.copytree(folder / "5", whole)
    refused = []
    for path in sorted(path for path in whole.rglob("*") if path.is_file()):
        data = bytearray(path.read_bytes())
        if how == "cut":
            data = data[: len(data) // 2]
        else:
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        target = folder / "5" / path.relative_to(whole)
        target.write_bytes(data)
        try:
            assert_whole(checkpoints.load(folder, 5))
        except ValueError as error:
            refused.append(str(error))
        target.write_bytes(path.read_bytes())
    assert len(refused) >= 4
    assert all(text.startswith("it is damaged") and "\n" not in text for text in refused)
    assert_whole(checkpoints.load(folder, 5))


def test_arrays_larger_than_expected_are_not_read(folder):
    size = sum(array.nbytes for array in ARRAYS.values())
    assert_whole(checkpoints.load(folder, 5, size))
    largest = max((path for path in folder.rglob(".zarray")), key=os.path.getsize)
    description = json.loads(largest.read_text())
    description["chunks"] = [10**9] * len(description["shape"])
    with pytest.raises(ValueError, match=r"its arrays would take [\d,]+ bytes"):
        checkpoints.load(folder, 5, size - 1)
    largest.write_text(json.dumps(description))
    with pytest.raises(ValueError, match=r"its arrays would take \d,[\d,]+ bytes"):
        checkpoints.load(folder, 5, 10**9)


def test_a_full_disk_is_named_before_orbax_writes(folder, monkeypatch, capfd):
    full = shutil.disk_usage(folder)._replace(free=10_000)
    monkeypatch.setattr(shutil, "disk_usage", lambda place: full)
    with pytest.raises(OSError, match=r"needs [\d,]+ bytes, but 10,000 are free"):
        checkpoints.save(folder, 7, Checkpoint(ARRAYS, ABOUT))
    assert checkpoints.saved(folder) == [5]
    assert capfd.readouterr().err == ""


def test_an_array_changed_with_the_means_of_the_format_is_found(folder):
    changed = dict(ARRAYS, update=np.array([7, 7, 8], np.int32))
    other = folder / "other"
    checkpoints.save(other, 5, Checkpoint(changed, ABOUT))
    shutil.rmtree(other / "5" / "seal")
    shutil.copytree(folder / "5" / "seal", other / "5" / "seal")
    with pytest.raises(ValueError, match="it is damaged: the checksum of update does not match"):
        checkpoints.load(other, 5)


def test_a_checkpoint_renamed_is_found(folder):
    (folder / "5").rename(folder / "6")
    with pytest.raises(ValueError, match="it is checkpoint 5 under another name"):
        checkpoints.load(folder, 6)


def test_what_cannot_be_saved_is_an_os_error_and_leaves_the_older_ones(folder, monkeypatch):
    monkeypatch.setattr(
        checkpoints, "_flush", lambda place: (_ for _ in ()).throw(OSError(28, "x"))
    )
    for _ in range(2):
        with pytest.raises(OSError, match="x"):
            checkpoints.save(folder, 6, Checkpoint(ARRAYS, ABOUT))
        shutil.rmtree(folder / "6")
    with pytest.raises(OSError, match="exist"):
        checkpoints.save(folder, 5, Checkpoint(ARRAYS, ABOUT))
    assert_whole(checkpoints.load(folder, 5))


def metrics(num_updates, seeds=3):
    dice = np.random.default_rng(1)
    counts = dice.integers(0, 4, (seeds, 20)).astype(np.float32)
    whole = some_metrics(counts, dice.normal(size=(seeds, 20)).astype(np.float32))
    return type(whole)(*(np.asarray(field)[:, :num_updates] for field in whole))


@pytest.mark.parametrize("updates_of_a_block", [3, 1000])
def test_metrics_appended_in_pieces_are_read_whole(updates_of_a_block, tmp_path, monkeypatch):
    monkeypatch.setattr(series, "_BLOCK", updates_of_a_block * 3 * series._ROW.itemsize)
    end = SeriesEnd(0, 0)
    for number in (4, 5, 20):
        end = series.append(tmp_path, end, metrics(number))
        assert end.num_updates == number
        stored, expected = np.load(tmp_path / "metrics.npy"), metrics(number)._asdict()
        for name, field in series.read(tmp_path, end, 3)._asdict().items():
            np.testing.assert_array_equal(field, np.float32(expected[name]))
            np.testing.assert_array_equal(field, stored[name].T)


def test_what_stands_behind_the_end_is_of_no_account_and_is_written_over(tmp_path):
    early = series.append(tmp_path, SeriesEnd(0, 0), metrics(4))
    series.append(tmp_path, early, metrics(9))
    for number in (4, 20):
        end = early if number == 4 else series.append(tmp_path, early, metrics(number))
        count = series.read(tmp_path, end, 3).episode_count
        np.testing.assert_array_equal(count, metrics(number).episode_count)
    assert len(np.load(tmp_path / "metrics.npy")) == 20


def test_damaged_metrics_are_found(tmp_path):
    path = tmp_path / "metrics.npy"
    end = series.append(tmp_path, SeriesEnd(0, 0), metrics(9))
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-1])
    with pytest.raises(ValueError, match=r"metrics.npy is cut short: 971 of 972 bytes"):
        series.read(tmp_path, end, 3)
    data[-100] ^= 4
    path.write_bytes(data)
    with pytest.raises(ValueError, match=r"metrics.npy is damaged: its checksum does not match"):
        series.read(tmp_path, end, 3)
    path.unlink()
    with pytest.raises(ValueError, match=r"metrics.npy cannot be read"):
        series.read(tmp_path, end, 3)
