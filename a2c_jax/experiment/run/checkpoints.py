"""Checkpoints: named arrays and their description, saved by Orbax and verified when read.

Orbax writes a checkpoint under a temporary name and then renames it, so it is complete or absent.
Its checksums do not cover every array; the checksums of this module do.
"""

import contextlib
import errno
import json
import logging
import math
import os
import shutil
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

FOLDER = "checkpoints"
KEPT = 2
_OVERHEAD = 3 * 4096  # bytes on disk for each array: its folder, description and last block


class Checkpoint(NamedTuple):
    """The content of a checkpoint.

    Attributes:
        arrays: the arrays by name.
        about: their description, as JSON.
    """

    arrays: dict[str, np.ndarray]
    about: dict[str, Any]

    def under(self, prefix: str) -> dict[str, np.ndarray]:
        """The arrays whose names begin with a prefix, by the rest of their names."""
        named = self.arrays.items()
        return {key.removeprefix(prefix): array for key, array in named if key.startswith(prefix)}


def save(folder: Path, number: int, checkpoint: Checkpoint) -> None:
    """Saves a checkpoint under its number; deletes all but the last two, and unfinished saves.

    Args:
        folder: of the checkpoints.
        number: number of updates, by which checkpoints are ordered.
        checkpoint: the checkpoint to save.

    Raises:
        OSError: if it could not be written; older ones are kept.
    """
    import orbax.checkpoint as ocp  # slow to import, and not needed by all commands

    # Orbax does not save empty arrays; their types and shapes are enough.
    full = {name: array for name, array in checkpoint.arrays.items() if array.size}
    seal = {
        "number": number,
        "about": checkpoint.about,
        "checksums": {name: _checksum(array) for name, array in checkpoint.arrays.items()},
        "empty": {
            name: [str(array.dtype), *array.shape]
            for name, array in checkpoint.arrays.items()
            if not array.size
        },
    }
    seal["checksum"] = _checksum_of_json(seal)
    folder.mkdir(exist_ok=True)
    _check_room(folder, sum(array.nbytes + _OVERHEAD for array in full.values()))
    try:
        with _manager(folder, saves=True) as manager:
            state, description = ocp.args.PyTreeSave(full), ocp.args.JsonSave(seal)
            manager.save(number, args=ocp.args.Composite(state=state, seal=description), force=True)
        _flush(folder / str(number))
    except Exception as error:  # Orbax and TensorStore raise system errors as other types
        raise _as_os_error(error) from error


def saved(folder: Path) -> list[int]:
    """The numbers of the checkpoints in a folder, in order, without unfinished saves."""
    if not folder.is_dir():
        return []
    with _manager(folder) as manager:
        return sorted(manager.all_steps())


def load(folder: Path, number: int, most_bytes: float = math.inf) -> Checkpoint:
    """Loads a checkpoint and verifies every array.

    Args:
        folder: of the checkpoints.
        number: of the checkpoint.
        most_bytes: limit of all arrays together, since small files can expand to large arrays.

    Raises:
        ValueError: if it is damaged; the message says what is wrong, in a few words.
    """
    import orbax.checkpoint as ocp

    try:
        with _manager(folder) as manager:
            size = _size(manager.item_metadata(number)["state"].tree)
            if size > most_bytes:
                raise ValueError(f"its arrays would take {size:,} bytes")
            state, description = ocp.args.PyTreeRestore(), ocp.args.JsonRestore()
            restored = manager.restore(
                number, args=ocp.args.Composite(state=state, seal=description)
            )
        seal, arrays = dict(restored["seal"]), dict(restored["state"])
        is_whole = seal.pop("checksum") == _checksum_of_json(seal)
        about, checksums = seal["about"], seal["checksums"]
        for name, (dtype, *shape) in seal["empty"].items():
            arrays[name] = np.zeros(shape, dtype)
    except Exception as error:  # a damaged file can cause any error
        raise ValueError(f"it is damaged or cut short ({_first_line(error)})") from error
    if not is_whole:
        raise ValueError("it is damaged: the checksum of its description does not match")
    if seal["number"] != number:
        raise ValueError(f"it is checkpoint {seal['number']} under another name")
    if arrays.keys() != checksums.keys():
        missing = sorted(arrays.keys() ^ checksums.keys())
        raise ValueError(f"it is damaged: {missing[0]} is missing")
    for name, array in arrays.items():
        if _checksum(array) != checksums[name]:
            raise ValueError(f"it is damaged: the checksum of {name} does not match")
    return Checkpoint(arrays, about)


@contextlib.contextmanager
def _manager(folder: Path, saves: bool = False) -> Iterator[Any]:
    import orbax.checkpoint as ocp

    # OCDBT finds the files to merge by a pattern: with [ ] in the path, it loses the arrays.
    state = ocp.PyTreeCheckpointHandler(use_ocdbt=False)
    options = ocp.CheckpointManagerOptions(
        max_to_keep=KEPT,
        enable_async_checkpointing=False,
        cleanup_tmp_directories=saves,
        create=False,
    )
    log = logging.getLogger("absl")
    log.addFilter(_is_no_merge)
    try:
        handlers = {"state": state, "seal": ocp.JsonCheckpointHandler()}
        with contextlib.closing(
            ocp.CheckpointManager(folder.absolute(), item_handlers=handlers, options=options)
        ) as manager:
            yield manager
    finally:
        log.removeFilter(_is_no_merge)


def _is_no_merge(record: logging.LogRecord) -> bool:
    return "Skipping merge of OCDBT" not in record.getMessage()  # OCDBT is off on purpose


def _checksum(array: np.ndarray) -> int:
    return zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)


def _checksum_of_json(content: dict[str, Any]) -> int:
    return zlib.crc32(json.dumps(content, sort_keys=True, allow_nan=False).encode())


def _size(metadata: dict[str, Any]) -> int:
    """Bytes that reading arrays takes; they are read in chunks, which a file can make larger."""
    return sum(
        max(math.prod(array.shape), math.prod(array.storage.chunk_shape)) * array.dtype.itemsize
        for array in metadata.values()
    )


def _check_room(folder: Path, needed: int) -> None:
    # Orbax prints a hundred lines when a disk is full.
    free = shutil.disk_usage(folder).free
    if free < needed:
        raise OSError(errno.ENOSPC, f"A checkpoint needs {needed:,} bytes, but {free:,} are free")


def _flush(folder: Path) -> None:
    # A rename may reach the disk before the renamed files; after a power cut they would be empty.
    for parent, _, names in os.walk(folder):
        for name in names:
            with open(os.path.join(parent, name), "rb") as file:
                os.fsync(file.fileno())


def _as_os_error(error: Exception) -> OSError:
    if isinstance(error, OSError):
        return error
    return OSError(_first_line(error))


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]
