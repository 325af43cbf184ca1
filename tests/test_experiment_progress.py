import io

import numpy as np
from rich.console import Console
from test_metrics import some_metrics

from a2c_jax.experiment.config import TrainConfig, resolve
from a2c_jax.experiment.progress import Reporter, result_table
from a2c_jax.experiment.runs import describe_outcome
from a2c_jax.experiment.training import Outcome


def outcome_after(num_updates):
    metrics = some_metrics(np.ones((16, num_updates)), np.full((16, num_updates), 480.0))
    return Outcome([], metrics, compile_seconds=4.0, train_seconds=2.0)


def test_a_terminal_sees_a_bar_with_its_figures():
    console = Console(file=io.StringIO(), force_terminal=True, color_system=None, width=80)
    job = resolve(TrainConfig())
    with Reporter(console, job) as reporter:
        reporter.report(outcome_after(0))
        reporter.report(outcome_after(750))
    text = console.file.getvalue()
    assert "Compiled in 4.0 s." in text
    # 750 updates of 40 steps for 16 seeds in 2 s are 240,000 steps a second
    for part in ["30k/300k steps × 16 ━", "240k steps/s", "return 480.0", "solved 100% "]:
        assert part in text


def test_the_table_holds_the_figures():
    console = Console(file=io.StringIO(), width=80)
    job = resolve(TrainConfig())
    console.print(result_table(describe_outcome(job, outcome_after(7500))))
    text = console.file.getvalue()
    # solved after 100 episodes, one an update of 40 steps
    for part in ["16 of 16 (100%)", "4,000", "480.0", "4.0 s", "Finished"]:
        assert part in text
