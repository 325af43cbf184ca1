"""The command line: runs a command, and turns errors into exit codes."""

import signal
import sys
from collections.abc import Sequence

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
    command, *flags = list(sys.argv[1:] if argv is None else argv) or ["--help"]
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
    except KeyboardInterrupt as error:
        print("a2c-jax: interrupted; nothing was written.", file=sys.stderr)
        return EXIT + (error.number if isinstance(error, Interrupted) else signal.SIGINT)
