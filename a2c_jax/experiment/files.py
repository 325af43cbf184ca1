"""Errors that a user can fix, folders with one writer, and files that are complete or absent."""

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

Writer = Callable[[BinaryIO], object]

LOCK = ".lock"


class BadInput(ValueError):  # noqa: N818
    """Bad input; the message names the argument, its value and the remedy. Nothing was written."""


class WriteError(OSError):
    """A file could not be written; the message says which, and what has been saved."""


@contextlib.contextmanager
def as_bad_input() -> Iterator[None]:
    """Converts every ValueError of a check to :class:`BadInput`."""
    try:
        yield
    except ValueError as error:
        raise BadInput(str(error)) from error


@contextlib.contextmanager
def as_write_error(what: str) -> Iterator[None]:
    """Converts every OSError to a :class:`WriteError` that names what could not be written."""
    try:
        yield
    except WriteError:
        raise
    except OSError as error:
        raise WriteError(f"the {what} could not be written: {error}.") from error


@contextlib.contextmanager
def open_folder(
    out: Path | str | None, shared: bool, kind: str, name: str | None = None
) -> Iterator[Path]:
    """Makes and locks a folder for results, and removes it if nothing was written to it.

    The default is a new folder, ``runs/<name>`` or ``runs/<kind>-<time>``. Only a ``shared`` one
    may hold other files, of which those of the same names are replaced.
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
            if made and not _content(folder):
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
    for folder in (Path("runs") / each for each in names):
        try:
            if not folder.exists():
                return _make_folder(folder, exist_ok=False)
        except BadInput:
            if not folder.exists():  # otherwise another process has just made it
                raise
    raise AssertionError


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


def _content(folder: Path) -> bool:
    """Whether a folder holds more than a lock and parts that a killed process has left."""
    names = [path.name for path in folder.iterdir() if path.name != LOCK]
    return not all(name.startswith(".") and name.endswith(".part") for name in names)


def _check_empty(folder: Path) -> None:
    if _content(folder):
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
    """Locks a folder against other processes; the system unlocks it if this process dies."""
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
    """Returns a name, or raises BadInput if it is empty, hidden or leads to another folder."""
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


def write_together(folder: Path, files: Mapping[str, Writer]) -> list[Path]:
    """Writes all files or none, by renaming temporary files; makes the folder, returns paths."""
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
        return [folder / name for name in files]
    finally:
        for part in staged.values():
            part.unlink(missing_ok=True)


def json_writer(content: Mapping[str, Any]) -> Writer:
    """Makes a writer of content as JSON; NaN and infinity, which JSON lacks, become null."""
    plain = json.loads(json.dumps(content), parse_constant=lambda constant: None)
    return lambda file: file.write(f"{json.dumps(plain, indent=2)}\n".encode())


def read_json(path: Path, argument: str) -> dict[str, Any]:
    """Reads what :func:`json_writer` has written; raises BadInput if it is not that."""
    try:
        content = json.loads(path.read_bytes())
    except OSError as error:
        problem = f"cannot be read ({error.strerror}); give an existing file"
    except (ValueError, RecursionError) as error:
        problem = f"is damaged or not JSON ({error}); give a complete file"
    else:
        if isinstance(content, dict):
            return content
        problem = "is not a JSON object; give one"
    raise BadInput(f"{argument} is {str(path)!r}, which {problem}.")


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
    arrays = {}
    try:
        with open(path, "rb", opener=_only_files) as file, zipfile.ZipFile(file) as archive:
            entries = [each for each in archive.infolist() if each.filename.startswith(prefix)]
            if (size := sum(each.file_size for each in entries)) > most_bytes:
                raise ValueError(f"its arrays would take {size:,} bytes")
            for entry in entries:
                name = entry.filename.removeprefix(prefix).removesuffix(".npy")
                with archive.open(entry) as member:
                    arrays[name] = _read_array(member)
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


def _read_array(member: Any) -> np.ndarray:
    """Reads an array as NumPy writes it; zipfile compares the checksum at its end."""
    np.lib.format.read_magic(member)
    shape, is_fortran, dtype = np.lib.format.read_array_header_1_0(member)
    data = bytearray(member.read())
    if dtype.hasobject or len(data) != math.prod(shape) * dtype.itemsize:
        raise ValueError("an array has another size than it says")
    return np.frombuffer(data, dtype).reshape(shape, order="F" if is_fortran else "C")
