"""The metrics of a run on disk: ``metrics.npy``, which only grows.

It is a structured array ``[U, S]`` with a field for each of :class:`a2c_jax.Metrics`:
``np.load("metrics.npy")["entropy"]``. Each save appends the updates since the last save, so each
number is written only once. A checkpoint holds the number of rows and their checksum; rows after
these, left by an unfinished save, are ignored.
"""

import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from a2c_jax.types import Metrics

FILE = "metrics.npy"
_ROW = np.dtype([(name, "<f4") for name in Metrics._fields])
_BLOCK = 2**24  # bytes that are copied at a time


class SeriesEnd(NamedTuple):
    """The length of a series, and the checksum (CRC-32) of its rows."""

    num_updates: int
    checksum: int


def append(folder: Path, end: SeriesEnd, metrics: Metrics) -> SeriesEnd:
    """Appends the updates since ``end``, replacing whatever follows it.

    Args:
        folder: of the run.
        end: end of the series so far; ``SeriesEnd(0, 0)`` for a new file.
        metrics: of all updates so far, ``[S, U]``.

    Raises:
        OSError: if they could not be written; the series up to ``end`` is intact.
    """
    num_seeds, num_updates = metrics.episode_count.shape
    header, checksum = _header(num_updates, num_seeds), end.checksum
    mode = "r+b" if end.num_updates else "wb"
    with open(folder / FILE, mode, opener=_without_links) as file:
        file.seek(len(header) + end.num_updates * num_seeds * _ROW.itemsize)
        for rows in _rows(metrics, end.num_updates):
            file.write(rows)
            checksum = zlib.crc32(rows, checksum)
        file.truncate()
        file.seek(0)
        file.write(header)
        file.flush()
        os.fsync(file.fileno())
    return SeriesEnd(num_updates, checksum)


def _rows(metrics: Metrics, start: int) -> Iterator[memoryview]:
    """The rows of the file from an update on, as bytes, in blocks."""
    num_seeds, num_updates = metrics.episode_count.shape
    length = max(1, _BLOCK // (num_seeds * _ROW.itemsize))
    for first in range(start, num_updates, length):
        last = min(first + length, num_updates)
        rows = np.empty((last - first, num_seeds), _ROW)
        for name, field in metrics._asdict().items():
            rows[name] = np.asarray(field)[:, first:last].T
        yield rows.view(np.uint8).data


def read(folder: Path, end: SeriesEnd, num_seeds: int) -> Metrics:
    """Reads the metrics up to ``end``, each ``[S, U]``.

    Raises:
        ValueError: if the file is damaged; the message says what is wrong, in a few words.
    """
    size = end.num_updates * num_seeds * _ROW.itemsize
    try:
        with (folder / FILE).open("rb") as file:
            file.seek(len(_header(end.num_updates, num_seeds)))
            data = file.read(size)
    except OSError as error:
        raise ValueError(f"{FILE} cannot be read ({error.strerror})") from error
    if len(data) < size:
        raise ValueError(f"{FILE} is cut short: {len(data):,} of {size:,} bytes")
    if zlib.crc32(data) != end.checksum:
        raise ValueError(f"{FILE} is damaged: its checksum does not match")
    rows = np.frombuffer(data, _ROW).reshape(-1, num_seeds)
    fields: Any = (np.ascontiguousarray(rows[name].T) for name in Metrics._fields)
    return Metrics(*fields)


def _without_links(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)


def _header(num_updates: int, num_seeds: int) -> bytes:
    """The header of the file; NumPy pads it, so that its size does not depend on the updates."""
    file = io.BytesIO()
    shape = {"descr": _ROW.descr, "fortran_order": False, "shape": (num_updates, num_seeds)}
    np.lib.format.write_array_header_1_0(file, shape)
    return file.getvalue()
