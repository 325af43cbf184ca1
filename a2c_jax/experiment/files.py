"""Folders to which one process at a time writes, and files that are complete or absent."""

import contextlib
import datetime
import itertools
import json
import math
import os
import shutil
import stat
import zipfile
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import filelock
import numpy as np

from a2c_jax.experiment.errors import BadInput

Writer = Callable[[BinaryIO], object]

LOCK = ".lock"


@contextlib.contextmanager
def open_folder(
    out: Path | str | None, shared: bool, kind: str, name: str | None = None
) -> Iterator[Path]:
    """Makes and locks a folder for results, and removes it if nothing was written to it.

    Args:
        out: the folder; by default a new one, ``runs/<name>`` or ``runs/<kind>-<time>``.
        shared: whether the folder may hold other files; files of the same names are replaced.
        kind: first part of the default name of a new folder.
        name: name of a new folder.

    Raises:
        BadInput: if the folder holds files and is not shared, if another process has locked
            it, or if it cannot be written to.
    """
    if name is not None and out is not None:
        raise BadInput(
            f"name is {name!r}, but out is given too; name a folder under runs/, or give out, but "
            "not both."
        )
    folder, made = _new_folder(kind, name) if out is None else _make_folder(Path(out))
    if not shared and not (folder / LOCK).exists():  # leave no lock in a folder with other files
        _check_empty(folder)
    with locked(folder, "out"):
        try:
            if not shared:
                _check_empty(folder)
            yield folder
        finally:
            _remove_if_empty(folder, made)


def _make_folder(folder: Path, exist_ok: bool = True) -> tuple[Path, list[Path]]:
    """Makes a folder and its parents; returns the folder, and all new folders, deepest first."""
    made = [path for path in (folder, *folder.parents) if not os.path.isdir(path)]
    try:
        folder.mkdir(parents=True, exist_ok=exist_ok)
    except (FileExistsError, NotADirectoryError) as error:
        raise BadInput(
            f"out is {str(folder)!r}, which is a file or inside one; give a folder."
        ) from error
    except OSError as error:
        raise _not_writable("out", folder, error) from error
    return folder, made


def _check_empty(folder: Path) -> None:
    if _holds_something(folder):
        parent, name = folder.absolute().parent, folder.absolute().name or "run"
        numbered = (parent / f"{name}-{number}" for number in itertools.count(2))
        free = next(path for path in numbered if not os.path.lexists(path))
        raise BadInput(f"out is {str(folder)!r}, which is not empty; {str(free)!r} is free.")


def _not_writable(argument: str, folder: Path, error: OSError) -> BadInput:
    return BadInput(
        f"{argument} is {str(folder)!r}, which cannot be written to ({error.strerror}); give "
        "another folder."
    )


@contextlib.contextmanager
def locked(folder: Path, argument: str) -> Iterator[None]:
    """Locks a folder against other processes; the system unlocks it if this process dies.

    Args:
        folder: an existing folder.
        argument: the argument that named it, for error messages.

    Raises:
        BadInput: if another process has locked it, or it cannot be written to.
    """
    lock = filelock.FileLock(folder / LOCK)
    try:
        lock.acquire(blocking=False)
    except filelock.Timeout as error:
        raise BadInput(
            f"{argument} is {str(folder)!r}, in which another process is writing; wait until it "
            "has ended, or give another folder."
        ) from error
    except OSError as error:
        raise _not_writable(argument, folder, error) from error
    try:
        yield
    finally:
        lock.release()


def checked_file_name(argument: str, name: str) -> str:
    """Returns a name, after checking that it is a plain file name.

    Raises:
        BadInput: if it is empty, hidden, or leads to another folder.
    """
    if not name or name.startswith(".") or any(sign in name for sign in "/\\\0:"):
        raise BadInput(
            f"{argument} is {name!r}; give a plain file name, without / \\ : and not beginning "
            "with a dot."
        )
    return name


def remove_files(folder: Path, names: Iterable[str]) -> None:
    """Removes files and folders by their names, if they exist."""
    for path in (folder / name for name in names):
        if path.is_dir():
            shutil.rmtree(path, ignore_errors=True)
        else:
            path.unlink(missing_ok=True)


def _holds_something(folder: Path) -> bool:
    return any(path.name != LOCK and not _is_part(path) for path in folder.iterdir())


def _is_part(path: Path) -> bool:
    """Whether a file was left by a write that was killed."""
    return path.name.startswith(".") and path.name.endswith(".part")


def _remove_if_empty(folder: Path, made: list[Path]) -> None:
    if not made or _holds_something(folder):
        return
    for path in folder.iterdir():  # the lock, and incomplete files
        path.unlink(missing_ok=True)
    for path in made:
        with contextlib.suppress(OSError):  # another process has written to it
            path.rmdir()


def _new_folder(kind: str, name: str | None) -> tuple[Path, list[Path]]:
    if name is not None:
        return _make_folder(Path("runs") / checked_file_name("name", name))
    first = f"{kind}-{datetime.datetime.now().strftime('%Y%m%d-%H%M%S')}"
    names = itertools.chain([first], (f"{first}-{number}" for number in itertools.count(2)))
    # A free name may be taken before the folder is made, if another process chooses it too.
    free = (Path("runs") / name for name in names if not (Path("runs") / name).exists())
    return next(made for folder in free if (made := _make_new(folder)) is not None)


def _make_new(folder: Path) -> tuple[Path, list[Path]] | None:
    try:
        return _make_folder(folder, exist_ok=False)
    except BadInput:
        if folder.exists():  # another process has just made it
            return None
        raise


def json_writer(content: Mapping[str, Any]) -> Writer:
    """Makes a writer of content as JSON, without NaN and infinity."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    return lambda file: file.write(text.encode())


def read_json(path: Path, argument: str) -> dict[str, Any]:
    """Reads what :func:`json_writer` has written.

    Raises:
        BadInput: if the file is missing, cut short, or not a JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        raise BadInput(
            f"{argument} is {str(path)!r}, which cannot be read ({error.strerror}); give an "
            "existing file."
        ) from error
    except (ValueError, RecursionError) as error:
        raise BadInput(
            f"{argument} is {str(path)!r}, which is damaged or not JSON ({error}); give a "
            "complete file."
        ) from error
    if not isinstance(content, dict):
        raise BadInput(f"{argument} is {str(path)!r}, which is not a JSON object; give one.")
    return content


def write_together(folder: Path, files: Mapping[str, Writer]) -> None:
    """Writes all files or none, by renaming temporary files; makes the folder."""
    staged: dict[str, Path] = {}
    folder.mkdir(parents=True, exist_ok=True)
    try:
        for name, write in files.items():
            staged[name] = folder / f".{checked_file_name('file name', name)}.part"
            staged[name].unlink(missing_ok=True)  # left by a killed process, or planted
            with staged[name].open("xb") as file:
                write(file)
                file.flush()
                os.fsync(file.fileno())
        for name, part in staged.items():
            os.replace(part, folder / name)
    finally:
        for part in staged.values():
            part.unlink(missing_ok=True)


def npz_writer(arrays: Mapping[str, np.ndarray], compress: bool = False) -> Writer:
    """Makes a writer of arrays by name, as :func:`numpy.savez` writes them."""
    save: Any = np.savez_compressed if compress else np.savez
    return lambda file: save(file, **arrays)


def checksums_of(path: Path) -> list[int]:
    """The checksums (CRC-32) of the arrays of an ``.npz`` file, in order."""
    with zipfile.ZipFile(path) as archive:
        return [entry.CRC for entry in archive.infolist()]


def read_npz(path: Path, most_bytes: float = math.inf, prefix: str = "") -> dict[str, np.ndarray]:
    """Reads and verifies the arrays of an ``.npz`` file whose names begin with a prefix.

    Args:
        path: a regular file; a link is not followed.
        most_bytes: limit of all arrays together, since small files can expand to large arrays.
        prefix: is left out of the names.

    Raises:
        ValueError: if it cannot be read or is damaged; the message says so, in a few words.
    """
    try:
        with open(path, "rb", opener=_only_files) as file, zipfile.ZipFile(file) as archive:
            entries = [each for each in archive.infolist() if each.filename.startswith(prefix)]
            if (size := sum(each.file_size for each in entries)) > most_bytes:
                raise ValueError(f"its arrays would take {size:,} bytes")
            arrays = {}
            for entry in entries:
                name = entry.filename.removeprefix(prefix).removesuffix(".npy")
                with archive.open(entry) as member:
                    arrays[name] = _read_array(member, entry.file_size)
    except OSError as error:
        raise ValueError(f"it cannot be read ({error.strerror})") from error
    except Exception as error:  # a damaged file can cause any error
        raise ValueError(f"it is damaged or cut short ({error})") from error
    return arrays


def _only_files(path: str, flags: int) -> int:
    # Without O_NONBLOCK, opening a pipe would wait for a writer.
    extra = getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    descriptor = os.open(path, flags | extra)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise ValueError("it is not a regular file")
    return descriptor


def _read_array(member: Any, size: int) -> np.ndarray:
    """Reads an array as NumPy writes it; zipfile compares the checksum at its end."""
    np.lib.format.read_magic(member)
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(member)
    data = bytearray(member.read())
    if dtype.hasobject or len(data) != math.prod(shape) * dtype.itemsize or size < len(data):
        raise ValueError("an array has another size than it says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
