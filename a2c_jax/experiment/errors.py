"""The two kinds of errors that a user can mend."""

import contextlib
from collections.abc import Iterator


class BadInput(ValueError):  # noqa: N818
    """One sentence that names the argument, its value and the remedy; nothing was written."""


class WriteError(OSError):
    """A file could not be written; the message says which, and what is safe."""


@contextlib.contextmanager
def refusals() -> Iterator[None]:
    """Marks every ValueError of a check as :class:`BadInput`."""
    try:
        yield
    except ValueError as error:
        raise BadInput(str(error)) from error


@contextlib.contextmanager
def written(what: str) -> Iterator[None]:
    """Names what could not be written.

    Raises:
        WriteError: instead of another OSError.
    """
    try:
        yield
    except OSError as error:
        raise WriteError(f"the {what} could not be written: {error}.") from error
