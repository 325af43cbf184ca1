"""The two kinds of errors that a user can fix."""

import contextlib
from collections.abc import Iterator


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
    except OSError as error:
        raise WriteError(f"the {what} could not be written: {error}.") from error
