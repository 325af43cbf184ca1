"""The files of arrays: whole, damaged, cut short, hostile."""

import os
import zipfile

import numpy as np
import pytest

from a2c_jax.experiment.files import checksums_of, npz_writer, read_npz, write_together

ARRAYS = {
    "state.params.kernel": np.arange(600, dtype=np.float32).reshape(3, 200),
    "state.key": np.array([[1, 2], [3, 2**32 - 1]], np.uint32),
    "state.fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "state.nothing": np.zeros((3, 0), np.float32),
    "about": np.array('{"run": "ü"}'),
}


@pytest.fixture
def path(tmp_path):
    """A file in a folder whose name has every kind of character."""
    folder = tmp_path / "w [2024] lr[0.1] a*b? [bold]x {x} ü %20#"
    write_together(folder, {"5.npz": npz_writer(ARRAYS)})
    return folder / "5.npz"


def test_arrays_come_back_as_they_were(path):
    found = read_npz(path)
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert found[name].dtype == array.dtype
        np.testing.assert_array_equal(found[name], array)
        found[name][...] = found[name]  # can be written to
    assert [*read_npz(path, prefix="state.")] == [n[6:] for n in ARRAYS if n != "about"]
    assert str(read_npz(path, prefix="about")[""]) == '{"run": "ü"}'
    assert len(set(checksums_of(path))) == len(ARRAYS)
    assert [one.name for one in path.parent.iterdir()] == ["5.npz"]


@pytest.mark.parametrize("compress", [True, False])
def test_arrays_larger_than_expected_are_not_read(path, compress):
    size = sum(array.nbytes for array in ARRAYS.values())
    with pytest.raises(ValueError, match=r"its arrays would take [\d,]+ bytes"):
        read_npz(path, size)  # and headers
    write_together(path.parent, {"6.npz": npz_writer({"a": np.zeros(10**7)}, compress)})
    with pytest.raises(ValueError, match="its arrays would take 80,000,128 bytes"):
        read_npz(path.with_name("6.npz"), 10**7)


def liar(path, header, data=b""):
    """A file whose array says that it is larger than it is."""
    with zipfile.ZipFile(path, "w") as archive:
        text = (header + " " * (118 - len(header)) + "\n").encode()
        archive.writestr("a.npy", b"\x93NUMPY\x01\x00" + bytes([119, 0]) + text + data)


@pytest.mark.parametrize(
    "header",
    [
        "{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000,)}",
        "{'descr': '|O', 'fortran_order': False, 'shape': (1,)}",
        "{'descr': '<f8', 'fortran_order': False, 'shape': (-1,)}",
        "__import__('os').system('touch /tmp/pwned')",
    ],
)
def test_an_array_that_is_not_what_it_says_is_damaged(path, header):
    liar(path, header)
    with pytest.raises(ValueError, match="it is damaged or cut short"):
        read_npz(path)


def test_what_is_no_regular_file_is_not_read(path):
    for place in (path.with_name("pipe"), path.with_name("link"), path.parent, "/dev/zero"):
        if str(place).endswith("pipe"):
            os.mkfifo(place)
        if str(place).endswith("link"):
            place.symlink_to(path)
        with pytest.raises(ValueError, match=r"cannot be read|not a regular file"):
            read_npz(place)


def test_every_bit_of_the_arrays_is_covered_by_a_checksum(path):
    data, dice = path.read_bytes(), np.random.default_rng(0)
    for place in dice.integers(len(data), size=200):
        flipped = bytearray(data)
        flipped[place] ^= 1 << int(dice.integers(8))
        path.write_bytes(flipped)
        try:
            found = read_npz(path)
        except ValueError:
            continue
        for name, array in ARRAYS.items():  # a bit that nothing depends on, such as a date
            np.testing.assert_array_equal(found[name], array)


def test_a_write_that_fails_leaves_what_was_there(path, monkeypatch):
    def full(file):
        file.write(b"some")
        raise OSError(28, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        write_together(path.parent, {"5.npz": full})
    assert [one.name for one in path.parent.iterdir()] == ["5.npz"]
    assert read_npz(path).keys() == ARRAYS.keys()
