"""The metrics of a run on disk, in one file that only grows.

The file holds float32 ``[updates, seeds, fields]``. Each save appends the updates since the last
save, so each number is written only once. A checkpoint holds the number of rows and their checksum;
rows after these, left by an unfinished save, are ignored.
"""

import os
import zlib
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from a2c_jax.types import Metrics


class SeriesEnd(NamedTuple):
    """The length of a series, and the checksum (CRC-32) of its content."""

    num_updates: int
    checksum: int


def append(path: Path, end: SeriesEnd, metrics: Metrics) -> SeriesEnd:
    """Appends the updates since ``end``, replacing whatever follows it.

    Args:
        path: the file.
        end: end of the series so far; ``SeriesEnd(0, 0)`` for a new file.
        metrics: of all updates so far, ``[S, U]``.

    Raises:
        OSError: if they could not be written; the series up to ``end`` is intact.
    """
    fresh = [np.asarray(field, np.float32)[:, end.num_updates :].T for field in metrics]
    data = np.ascontiguousarray(np.stack(fresh, axis=-1)).tobytes()
    position = end.num_updates * _row_bytes(len(metrics.episode_count))
    with path.open("r+b" if end.num_updates else "wb") as file:
        file.seek(position)
        file.write(data)
        file.truncate()
        file.flush()
        os.fsync(file.fileno())
    return SeriesEnd(metrics.episode_count.shape[1], zlib.crc32(data, end.checksum))


def read(path: Path, end: SeriesEnd, num_seeds: int) -> Metrics:
    """Reads the metrics up to ``end``, each ``[S, U]``.

    Raises:
        ValueError: if the file is damaged; the message says what is wrong, in a few words.
    """
    size = end.num_updates * _row_bytes(num_seeds)
    try:
        with path.open("rb") as file:
            data = file.read(size)
    except OSError as error:
        raise ValueError(f"{path.name} cannot be read ({error.strerror})") from error
    if len(data) < size:
        raise ValueError(f"{path.name} is cut short: {len(data):,} of {size:,} bytes")
    if zlib.crc32(data) != end.checksum:
        raise ValueError(f"{path.name} is damaged: its checksum does not match")
    rows = np.frombuffer(data, np.float32).reshape(-1, num_seeds, len(Metrics._fields))
    fields: Any = (np.ascontiguousarray(rows[:, :, i].T) for i in range(len(Metrics._fields)))
    return Metrics(*fields)


def _row_bytes(num_seeds: int) -> int:
    return num_seeds * len(Metrics._fields) * np.dtype(np.float32).itemsize
