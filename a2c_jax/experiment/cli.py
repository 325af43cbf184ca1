"""The command line: it reads flags, calls plain functions, and turns errors into exit codes."""

import contextlib
import signal
import sys
from collections.abc import Sequence

from a2c_jax.experiment.commands import COMMANDS
from a2c_jax.experiment.free_memory import TooLargeError
from a2c_jax.experiment.interrupts import EXIT, Interrupted
from a2c_jax.experiment.run_training import WriteError
from a2c_jax.experiment.startup import prepare_jax

EXIT_FAILED = 1
EXIT_BAD_INPUT = 2

USAGE = """\
usage: a2c-jax COMMAND [FLAGS]

Advantage actor-critic in JAX: many seeds at once.

commands:
{commands}

a2c-jax COMMAND --help tells the flags.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    0 is success, 1 a file that could not be written, 2 bad input, 130 Ctrl-C, 143 SIGTERM.
    """
    command, *flags = list(sys.argv[1:] if argv is None else argv) or ["--help"]
    if command in ("-h", "--help"):
        lines = (f"  {name:<10}{line}" for name, (_, line) in COMMANDS.items())
        print(USAGE.format(commands="\n".join(lines)), end="")
        return 0
    try:
        with contextlib.ExitStack() as stack:
            try:
                if command not in COMMANDS:
                    known = ", ".join(COMMANDS)
                    raise ValueError(f"There is no command {command!r}; there are: {known}.")
                prepare_jax()
                work = COMMANDS[command][0](flags, stack)
            except ValueError as error:
                print(f"a2c-jax: {error}", file=sys.stderr)
                return EXIT_BAD_INPUT
            return work()
    except TooLargeError as error:
        print(f"a2c-jax: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except WriteError as error:
        print(f"a2c-jax: {error}", file=sys.stderr)
        return EXIT_FAILED
    except KeyboardInterrupt as error:
        print("a2c-jax: interrupted; nothing was written.", file=sys.stderr)
        return EXIT + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
