"""Folders that are claimed and files that are whole or not there."""

import contextlib
import datetime
import itertools
import json
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

Writer = Callable[[BinaryIO], object]


@contextlib.contextmanager
def open_folder(out: Path | None, overwrite: bool, name: str) -> Iterator[Path]:
    """Claims a run's folder, and takes it away again if nothing was written to it.

    Args:
        out: the folder; by default a new one, ``runs/<name>-<timestamp>``.
        overwrite: whether it may hold something, which is then replaced file by file.
        name: what a new one is called.

    Raises:
        ValueError: if the folder holds something, another run included, and is not to be
            overwritten; or if it cannot be written to.
    """
    folder = out or _new_folder(name)
    existed = os.path.isdir(folder)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()) and not overwrite:
            raise ValueError(
                f"out is {str(folder)!r}, which is not empty; give another folder, or "
                "--overwrite to replace the run in it."
            )
        # While it stands there, the folder is not empty for any other run.
        claim = tempfile.NamedTemporaryFile(dir=folder, prefix=".running-")  # noqa: SIM115
    except FileExistsError as error:
        raise ValueError(f"out is {str(folder)!r}, which is a file; give a folder.") from error
    except OSError as error:
        raise ValueError(
            f"out is {str(folder)!r}, which cannot be written to ({error.strerror}); give "
            "another folder."
        ) from error
    try:
        with claim:
            yield folder
    finally:
        if not existed and not any(folder.iterdir()):
            folder.rmdir()


def _new_folder(name: str) -> Path:
    name = f"{name}-{datetime.datetime.now().strftime('%Y%m%d-%H%M%S')}"
    names = itertools.chain([name], (f"{name}-{n}" for n in itertools.count(2)))
    return next(path for path in map(Path("runs").joinpath, names) if not path.exists())


def json_writer(content: Mapping[str, Any]) -> Writer:
    """Writes content as JSON, which holds neither NaN nor infinity."""
    text = json.dumps(content, indent=2, allow_nan=False) + "\n"
    return lambda file: file.write(text.encode())


def write_together(folder: Path, files: Mapping[str, Writer]) -> None:
    """Writes all files beside their places, and then, all done, into them."""
    staged: dict[str, Path] = {}
    try:
        for name, write in files.items():
            staged[name] = folder / f".{name}.part"
            with staged[name].open("wb") as file:
                write(file)
        for name, part in staged.items():
            os.replace(part, folder / name)
    finally:
        for part in staged.values():
            part.unlink(missing_ok=True)
