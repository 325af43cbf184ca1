"""The article's run from the command line."""

import contextlib
import dataclasses
import io
import json

import numpy as np
import pytest

from a2c_jax import presets
from a2c_jax.experiment.cli import main as cli
from a2c_jax.experiment.cli.flags import parse_train
from a2c_jax.experiment.run import engine as training
from a2c_jax.experiment.run.folder import load_run
from a2c_jax.experiment.run.progress import episode_lines
from a2c_jax.types import Metrics

EPISODES = 35
FILES = {
    "config.json", "metrics", "summary.json", "rewards.png", "lengths.png", "log.jsonl",
    "checkpoints", ".lock",
}  # fmt: skip


@pytest.fixture(scope="module")
def article(tmp_path_factory):
    """The folder of a run of one seed, what was printed, and the metrics."""
    folder, text = tmp_path_factory.mktemp("article") / "run", io.StringIO()
    flags = ["--preset", "article", "--num-episodes", str(EPISODES), "--hidden-sizes", "8"]
    with pytest.MonkeyPatch.context() as monkeypatch, contextlib.redirect_stdout(text):
        monkeypatch.setattr(training, "_GROWTH", 3)  # so that lines come from several chunks
        assert cli.main(["train", *flags, "--out", str(folder)]) == 0
    return folder, text.getvalue(), load_run(folder).metrics._asdict()


def test_the_articles_run_prints_its_lines_and_writes_what_it_promises(article):
    folder, text, metrics = article
    lines = [line for line in text.splitlines() if line.startswith("episode:")]
    assert len(lines) == 4
    assert lines == episode_lines(Metrics(**metrics), 0)
    config, summary = (
        json.loads((folder / f"{name}.json").read_text()) for name in ("config", "summary")
    )
    assert {path.name for path in folder.iterdir()} == FILES
    for name in ("rewards.png", "lengths.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert (config["preset"], config["max_episode_steps"]) == ("article", 200)
    assert config["settings"]["num_episodes"] == config["about"]["episodes_per_seed"] == EPISODES
    np.testing.assert_array_equal(metrics["steps"], metrics["episode_length_sum"])
    assert metrics["episode_count"].tolist() == [[1.0] * EPISODES]
    expected = {
        "finished": True, "episodes_per_seed": EPISODES, "solved_threshold": 195.0,
        "median_episodes_to_solve": None, "episodes_to_solve": [None],
    }  # fmt: skip
    assert summary == summary | expected
    steps = summary["steps_per_second"] * summary["train_seconds"]
    np.testing.assert_allclose(steps, metrics["episode_length_sum"].sum())


def test_a_single_defect_is_a_flag():
    for preset, flag, value in (
        ("article", "--detached-critic", True),
        ("article_as_printed", "--no-detached-critic", False),
    ):
        expected = dataclasses.replace(presets.PRESETS[preset], detached_critic=value)
        assert parse_train(["--preset", preset, flag]).settings == expected


def test_the_articles_run_is_drawn_and_replayed_but_not_over_runs_counted_in_steps(
    article, tiny_run, tmp_path, refused
):
    assert "counted in different units" in refused("plot", tiny_run.folder, article[0])
    for command in (["plot"], ["replay", "--num-episodes", "1"]):
        assert cli.main([*command, str(article[0]), "--out", str(tmp_path)]) == 0
    note = "After 35 episodes of training; the most probable action at every step."
    assert note in (tmp_path / "replay.html").read_text()
