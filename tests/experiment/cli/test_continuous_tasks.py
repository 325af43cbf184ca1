"""Every command on an environment whose actions are a box."""

import json
import re

import pytest

from a2c_jax.experiment.cli import main as cli

SMALL = ["--env", "Pendulum-v1", "--total-steps", "1200", "--num-seeds", "2"]
LAYERS = ["--hidden-sizes", "8"]


@pytest.mark.slow("every command")
def test_every_command_runs_on_pendulum(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for command in (
        ["train", "--name", "run", *SMALL, *LAYERS],
        ["evaluate", "runs/run", "--num-episodes", "2"],
        ["plot", "runs/run"],
        ["replay", "runs/run", "--num-episodes", "1"],
        ["sweep", "--over", "learning-rate=1e-3,3e-3", "--name", "sweep", *SMALL, *LAYERS],
        ["compare", "--algorithms", "a2c", "--gradient-episodes", "0", *SMALL, *LAYERS],
    ):
        assert cli.main(command) == 0, capsys.readouterr().err
    page = (tmp_path / "runs/run/replay.html").read_text()
    data = json.loads(re.search(r'id="data">(.*?)</script>', page, re.DOTALL)[1])
    episode = data["seeds"][0]["episodes"][0]
    assert data["actions"] == []
    assert len(episode["actions"]) == 200
    (control,) = episode["controls"]
    assert control["taken"] == control["mean"], "greedy: the mean of the Gaussian is taken"
    assert all(std > 0 for std in control["std"])
    returns = json.loads((tmp_path / "runs/run/evaluation.json").read_text())
    assert returns["num_episodes"] == 2
