import dataclasses
import io

import numpy as np
import pytest
from rich.console import Console

from a2c_jax.experiment.config import TrainConfig, default_config
from a2c_jax.experiment.run import progress
from a2c_jax.experiment.run.engine import Outcome
from a2c_jax.experiment.run.folder import describe_outcome
from a2c_jax.experiment.run.job import make_job
from a2c_jax.experiment.run.progress import Reporter, episode_lines
from a2c_jax.experiment.tables import result_table
from a2c_jax.types import Metrics


def episodes(returns, lengths, number=None):
    """An outcome with an episode in each update, after the first ``number`` of them."""
    ones = np.ones_like(returns)
    metrics = Metrics(returns, lengths, ones, *[0 * ones] * 6)
    metrics = Metrics(*[field[:, :number] for field in metrics])
    return Outcome([], metrics, compile_seconds=4.0, train_seconds=2.0)


def outcome_after(num_updates):
    return episodes(*np.full((2, 16, num_updates), 480.0))


def article_job(**changes):
    return make_job(dataclasses.replace(default_config("article"), **changes))


def shown(job, outcomes, terminal=False):
    console = Console(file=io.StringIO(), force_terminal=terminal, color_system=None, width=80)
    with Reporter(console, job) as reporter:
        for outcome in outcomes:
            reporter.report(outcome)
    return console.file.getvalue()


def test_a_terminal_sees_a_bar_with_its_figures():
    text = shown(make_job(TrainConfig()), [outcome_after(0), outcome_after(750)], terminal=True)
    # 750 updates of 40 steps for 16 seeds in 2 s are 240,000 steps a second
    assert "Compiled in 4.0 s." in text
    for part in ["30k/150k steps × 16 ━", "240k steps/s", "return 480.0", "solved 100% "]:
        assert part in text


def test_every_tenth_episode_has_the_articles_line():
    # Lengths 1, 2, 3, … and rewards of ten times as much: the last ten of 21 are 12 … 21.
    lengths = np.arange(1.0, 26.0)[None]
    metrics = episodes(10 * lengths, lengths).metrics
    lines = [
        "episode: 0, reward: 10.0, total length: 1, average length: 1.0",
        "episode: 10, reward: 110.0, total length: 11, average length: 6.5",
        "episode: 20, reward: 210.0, total length: 21, average length: 16.5",
    ]
    for first, told in {0: lines, 10: lines[1:], 11: lines[2:], 21: []}.items():
        assert episode_lines(metrics, first) == told


@pytest.mark.parametrize("terminal", [False, True])
def test_lines_are_told_once_each_however_the_run_is_cut(terminal):
    lengths = np.arange(1.0, 36.0)[None]
    parts = [episodes(10 * lengths, lengths, number) for number in (0, 2, 10, 11, 29, 35)]
    text = shown(article_job(), parts, terminal)
    lines = episode_lines(parts[-1].metrics, 0)
    assert [text.count(line) for line in lines] == [1, 1, 1, 1]
    assert [text.index(line) for line in lines] == sorted(text.index(line) for line in lines)


def test_many_seeds_of_the_articles_loop_have_a_line_of_their_own_kind(monkeypatch):
    monkeypatch.setattr(progress, "_LINE_EVERY", 0.0)
    lengths = np.full((3, 20), 50.0)
    text = shown(article_job(num_seeds=3), [episodes(lengths, lengths)])
    assert "episode:" not in text
    # 3 seeds, 20 episodes and 50 steps are 3000 steps, in 2 s
    assert text.startswith("20/3k episodes × 3, 1.5k steps/s, return 50.0, solved 0%")


def table_of(job, outcome):
    console = Console(file=io.StringIO(), width=80)
    console.print(result_table(describe_outcome(job, outcome)))
    return console.file.getvalue()


def test_the_articles_table_counts_episodes():
    lengths = np.full((1, 300), 198.0)
    lengths[0, :100] = 10.0
    text = table_of(article_job(), episodes(lengths, lengths))
    rows = [line.split("│")[1:-1] for line in text.splitlines() if "│" in line]
    table = {name.strip(): figure.strip() for name, figure in rows}
    expected = {
        # (100 - k) * 198 + k * 10 over 100 is at least 195 with k = 1: after 199 episodes
        "Median episodes to solve": "199", "Solved (mean of 100 episodes ≥ 195)": "1 of 1 (100%)",
        "Episodes of each seed": "300",
        "Steps a second, all seeds": "20,300",  # 100 * 10 + 200 * 198 steps in 2 s
        "Compiling": "4.0 s", "Training": "2.0 s",
    }  # fmt: skip
    assert table == table | expected
    assert "Interrupted" in text, "300 of 3000 episodes"


def test_the_table_counts_steps():
    text = table_of(make_job(TrainConfig()), outcome_after(7500))
    for part in ["4,000", "480.0", "Finished"]:  # solved after 100 updates of 40 steps
        assert part in text
