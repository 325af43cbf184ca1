"""The commands: each checks all that it is told, and returns a function that does the work."""

import contextlib
import signal
from collections.abc import Callable, Sequence

from rich.console import Console

from a2c_jax.experiment import comparison, parsing
from a2c_jax.experiment.comparison_report import comparison_table, write_comparison
from a2c_jax.experiment.files import open_folder
from a2c_jax.experiment.interrupts import EXIT, deferred_interrupt
from a2c_jax.experiment.preparing import prepare
from a2c_jax.experiment.progress import result_table
from a2c_jax.experiment.run_training import WriteError, carry_out

Work = Callable[[], int]
Prepare = Callable[[Sequence[str], contextlib.ExitStack], Work]




def prepare_train(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Trains many seeds and writes a run folder.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    prepared = prepare(parsing.parse_train(flags), stack)

    def work() -> int:
        console = Console()
        with deferred_interrupt(own_process=True) as interrupted:
            run = carry_out(prepared, console, interrupted)
        console.print(result_table(run.summary))
        console.print(f"Files: {run.folder}", soft_wrap=True, highlight=False)
        if run.summary["finished"]:
            return 0
        console.print(
            f"Go on with: a2c-jax train --resume {run.folder}", soft_wrap=True, highlight=False
        )
        return EXIT + run.signal

    return work


def prepare_compare(flags: Sequence[str], stack: contextlib.ExitStack) -> Work:
    """Trains several methods at equal environment steps; one table, one figure.

    Raises:
        ValueError: one sentence, if the input is bad.
    """
    config, suited = parsing.parse_compare(flags)
    jobs = comparison.resolve_all(config, suited)
    name = f"{config.env}-compare"
    folder = stack.enter_context(open_folder(config.out, config.overwrite, name))

    def work() -> int:
        console = Console()
        for name, (_, job) in jobs.items():
            for notice in job.notices:
                console.print(f"{name}: {notice}", soft_wrap=True)
        with deferred_interrupt(own_process=True) as interrupted:
            result = comparison.compare(jobs, console, interrupted)
            if not result.summaries:
                raise KeyboardInterrupt
            stopped = 0
            try:
                # What was trained is written before anything else is begun.
                write_comparison(folder, config, jobs, result)
                if config.gradient_episodes and result.finished and not interrupted():
                    console.print("Measuring the variance of the gradients")
                    noise = comparison.measure_gradients(config, jobs, interrupted)
                    result = result._replace(noise=noise)
                    write_comparison(folder, config, jobs, result)
            except OSError as error:
                raise WriteError(f"the comparison could not be written: {error}.") from error
            except KeyboardInterrupt:  # a second Ctrl-C; the training has been written
                stopped = signal.SIGINT
            stopped = stopped or interrupted()
        console.print(comparison_table(result))
        console.print(f"Files: {folder}", soft_wrap=True, highlight=False)
        return EXIT + stopped if stopped else 0

    return work


COMMANDS: dict[str, tuple[Prepare, str]] = {
    "train": (prepare_train, "train many seeds and write a run folder, or resume one"),
    "compare": (prepare_compare, "train several methods at equal environment steps"),
}
"""What prepares a command, and what it does in a line."""
