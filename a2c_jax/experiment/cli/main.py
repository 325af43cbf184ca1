"""The command line: runs a command, and turns errors into exit codes."""

import contextlib
import io
import os
import signal
import sys
import threading
from collections.abc import Sequence
from types import FrameType
from typing import Any, TextIO

import jax

from a2c_jax.experiment.cli.commands import COMMANDS
from a2c_jax.experiment.cli.startup import prepare_jax
from a2c_jax.experiment.files import BadInput, WriteError
from a2c_jax.experiment.run.interrupts import EXIT, Interrupted


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    0 is success, 1 a file that could not be written, 2 bad input, 130 Ctrl-C, 143 SIGTERM.
    """
    with contextlib.ExitStack() as stack:
        shown = stack.enter_context(contextlib.closing(_Shown(sys.stdout or io.StringIO())))
        stack.enter_context(contextlib.redirect_stdout(shown))
        in_main = threading.current_thread() is threading.main_thread()
        if in_main and signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
            stack.callback(signal.signal, signal.SIGTERM, signal.signal(signal.SIGTERM, _stop))
        return _run(*(sys.argv[1:] if argv is None else argv))


def _stop(number: int, frame: FrameType | None) -> None:
    """Lets SIGTERM end a command as Ctrl-C does, so that it leaves no incomplete files."""
    raise Interrupted(number)


def _run(command: str = "--help", *flags: str) -> int:
    if command in ("-h", "--help"):
        lines = (f"  {name:<10}{line}" for name, (_, line) in COMMANDS.items())
        print("usage: a2c-jax COMMAND [FLAGS]\n")
        print("Advantage actor-critic in JAX: many seeds at once.\n\ncommands:", *lines, sep="\n")
        print("\na2c-jax COMMAND --help lists the flags.")
        return 0
    try:
        if command not in COMMANDS:
            raise BadInput(f"There is no command {command!r}; choose from: {', '.join(COMMANDS)}.")
        _start_jax()
        stopped = COMMANDS[command][0](flags)
        return EXIT + stopped if stopped else 0
    except (BadInput, WriteError) as error:
        message, code = str(error), 2 if isinstance(error, BadInput) else 1
    except KeyboardInterrupt as error:
        number = getattr(error, "number", signal.SIGINT)
        message, code = "interrupted; nothing was written.", EXIT + number
    print(f"a2c-jax: {message}", file=sys.stderr)
    return code


def _start_jax() -> None:
    try:
        prepare_jax()
        jax.devices()
    except (RuntimeError, AssertionError) as error:  # either comes from JAX without a back end
        if (platforms := os.environ.get("JAX_PLATFORMS")) is None:
            raise
        lack = "which this machine lacks; unset it, or install jax for that device."
        raise BadInput(f"JAX_PLATFORMS is {platforms!r}, {lack}") from error


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

    def close(self) -> None:
        with contextlib.suppress(OSError, ValueError):
            try:
                self._stream.flush()
            except OSError:  # Python would report it again at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), self._stream.fileno())

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)
