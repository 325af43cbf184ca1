"""The article's run from the command line."""

import contextlib
import io
import json
import re

import numpy as np
import pytest

from a2c_jax import experiment
from a2c_jax.algorithms.article import AS_PRINTED, CORRECTED
from a2c_jax.experiment.cli import flags as parsing, main as cli
from a2c_jax.experiment.run import chunks as training

NUM_EPISODES = 35
ARTICLE = ["train", "--num-episodes", str(NUM_EPISODES), "--hidden-sizes", "8", "--preset"]
FILES = {
    "config.json", "metrics.npy", "summary.json", "rewards.png", "lengths.png", "log.jsonl",
    "checkpoints", ".lock",
}  # fmt: skip
LINE = re.compile(
    r"^episode: (\d+), reward: (\d+\.\d), total length: (\d+), average length: (\d+\.\d)$",
    re.MULTILINE,
)


def run_article(folder, preset, *flags):
    """Runs a preset; returns what was printed, the configuration, the summary and the metrics."""
    text = io.StringIO()
    with contextlib.redirect_stdout(text):
        assert cli.main([*ARTICLE, preset, *flags, "--out", str(folder)]) == 0
    metrics = np.load(folder / "metrics.npy").T
    config, summary = (
        json.loads((folder / name).read_text()) for name in ("config.json", "summary.json")
    )
    return text.getvalue(), config, summary, metrics


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("article") / "run"
    with pytest.MonkeyPatch.context() as monkeypatch:
        # chunks of 7 episodes of up to 200 steps, so that lines come from several of them
        monkeypatch.setitem(training._STEPS_A_SECOND, "cpu", 1400)
        return folder, *run_article(folder, "article")


def test_the_articles_lines_are_the_episodes_that_were_run(one_seed):
    _, text, _, _, metrics = one_seed
    rewards, lengths = metrics["episode_return_sum"][0], metrics["episode_length_sum"][0]
    lines = LINE.findall(text)
    assert [int(line[0]) for line in lines] == [0, 10, 20, 30]
    assert text.count("episode:") == len(lines)
    for number, reward, length, average in ((int(line[0]), *line[1:]) for line in lines):
        assert float(reward) == rewards[number]
        assert int(length) == lengths[number]
        last_ten = lengths[max(0, number - 9) : number + 1]
        assert abs(float(average) - last_ten.mean()) < 0.051


def test_the_articles_run_folder_holds_what_it_promises(one_seed):
    folder, _, config, summary, metrics = one_seed
    assert {path.name for path in folder.iterdir()} == FILES
    for name in ("rewards.png", "lengths.png"):
        assert (folder / name).read_bytes().startswith(b"\x89PNG")
    assert config["preset"] == "article"
    assert (
        config["settings"]["num_episodes"] == config["about"]["episodes_per_seed"] == NUM_EPISODES
    )
    assert config["max_episode_steps"] == 200
    assert config["about"]["seeds"] == [0]
    assert config["settings"]["defects"] == CORRECTED._asdict()
    np.testing.assert_array_equal(metrics["steps"], metrics["episode_length_sum"])
    assert metrics["episode_count"].tolist() == [[1.0] * NUM_EPISODES]
    assert summary["finished"] is True
    assert summary["episodes_per_seed"] == NUM_EPISODES
    assert summary["solved_threshold"] == 195.0
    assert summary["median_episodes_to_solve"] is None
    assert summary["episodes_to_solve"] == [None]
    steps = summary["steps_per_second"] * summary["train_seconds"]
    np.testing.assert_allclose(steps, metrics["episode_length_sum"].sum())


def test_as_printed_is_another_run_and_many_seeds_of_it_print_no_lines(one_seed, tmp_path):
    *_, corrected = one_seed
    text, config, summary, metrics = run_article(
        tmp_path / "run", "article_as_printed", "--num-seeds", "3"
    )
    assert "episode:" not in text
    assert {path.name for path in (tmp_path / "run").iterdir()} == FILES
    assert config["preset"] == "article_as_printed"
    assert config["settings"]["defects"] == AS_PRINTED._asdict()
    assert config["about"]["seeds"] == [0, 1, 2]
    assert summary["num_seeds"] == 3
    assert metrics["episode_length_sum"].shape == (3, NUM_EPISODES)
    steps = summary["steps_per_second"] * summary["train_seconds"]
    np.testing.assert_allclose(steps, metrics["episode_length_sum"].sum())
    # Seed 0 plays the same first episode, and learns something else from it.
    assert metrics["episode_length_sum"][0, 0] == corrected["episode_length_sum"][0, 0]
    assert metrics["grad_norm"][0, 0] != corrected["grad_norm"][0, 0]


def test_a_single_defect_is_a_flag():
    settings = parsing.parse_train(["--preset", "article", "--detached-critic"]).settings
    assert settings.defects == CORRECTED._replace(detached_critic=True)
    settings = parsing.parse_train(["--preset", "article_as_printed", "--no-detached-critic"])
    assert settings.settings.defects == AS_PRINTED._replace(detached_critic=False)


def test_the_articles_run_is_drawn_and_replayed_but_not_over_runs_counted_in_steps(
    one_seed, tmp_path, capsys
):
    folder, *_ = one_seed
    steps = tmp_path / "steps"
    # The program of test_resume.py, so that it is compiled once.
    short = {"hidden_sizes": (8,), "total_steps": 800}
    constant = {"learning_rate": 1e-3, "final_learning_rate": 1e-3}
    experiment.train_run(experiment.configure(**short, **constant, out=steps))
    assert cli.main(["plot", str(steps), str(folder)]) == 2
    assert "counted in different units" in capsys.readouterr().err
    out = str(tmp_path / "looked at")
    assert cli.main(["plot", str(folder), "--out", out]) == 0
    assert cli.main(["replay", str(folder), "--num-episodes", "1", "--out", out]) == 0
