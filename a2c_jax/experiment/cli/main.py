"""The command line: runs a command, and turns errors into exit codes."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import Any, TextIO

import jax

from a2c_jax.experiment.cli.commands import COMMANDS
from a2c_jax.experiment.cli.startup import prepare_jax
from a2c_jax.experiment.errors import BadInput, WriteError
from a2c_jax.experiment.run.interrupts import EXIT, Interrupted

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

USAGE = """\
usage: a2c-jax COMMAND [FLAGS]

Advantage actor-critic in JAX: many seeds at once.

commands:
{commands}

a2c-jax COMMAND --help lists the flags.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    0 is success, 1 a file that could not be written, 2 bad input, 130 Ctrl-C, 143 SIGTERM.
    """
    with _shown(), _sigterm_raises():
        return _run(list(sys.argv[1:] if argv is None else argv) or ["--help"])


def _run(argv: Sequence[str]) -> int:
    command, *flags = argv
    if command in ("-h", "--help"):
        lines = (f"  {name:<10}{line}" for name, (_, line) in COMMANDS.items())
        print(USAGE.format(commands="\n".join(lines)), end="")
        return 0
    try:
        if command not in COMMANDS:
            raise BadInput(f"There is no command {command!r}; choose from: {', '.join(COMMANDS)}.")
        prepare_jax()
        return COMMANDS[command][0](flags)
    except (BadInput, WriteError) as error:
        print(f"a2c-jax: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT if isinstance(error, BadInput) else EXIT_FAILED
    except (RuntimeError, AssertionError):  # either comes from JAX without a back end
        platforms = os.environ.get("JAX_PLATFORMS")
        if platforms is None or _jax_starts():
            raise
        print(
            f"a2c-jax: JAX_PLATFORMS is {platforms!r}, which this machine lacks; unset it, or "
            "install jax for that device.",
            file=sys.stderr,
        )
        return EXIT_BAD_INPUT
    except KeyboardInterrupt as error:
        print("a2c-jax: interrupted; nothing was written.", file=sys.stderr)
        return EXIT + (error.number if isinstance(error, Interrupted) else signal.SIGINT)


def _jax_starts() -> bool:
    try:
        jax.devices()
    except (RuntimeError, AssertionError):
        return False
    return True


class _Shown:
    """A stream whose failure is ignored: what is shown must not harm what is trained."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str) -> int:
        with contextlib.suppress(OSError, ValueError):
            try:
                self._stream.write(text)
            except UnicodeEncodeError as error:
                self._stream.write(text.encode(error.encoding, "replace").decode(error.encoding))
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            self._stream.flush()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def _shown() -> Iterator[None]:
    stdout = sys.stdout
    try:
        with contextlib.redirect_stdout(_Shown(stdout)):
            yield
    finally:
        try:
            stdout.flush()
        except (OSError, ValueError):  # Python would report it again at exit
            with contextlib.suppress(OSError, ValueError):
                os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


@contextlib.contextmanager
def _sigterm_raises() -> Iterator[None]:
    """Lets SIGTERM end a command as Ctrl-C does, so that it leaves no incomplete files."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise Interrupted(number)

    in_main = threading.current_thread() is threading.main_thread()
    if not in_main or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
