"""The README's code runs as it stands."""

import re
import shlex
from pathlib import Path

import numpy as np

from a2c_jax.experiment import cli

README = (Path(__file__).parent.parent / "README.md").read_text()


def blocks(language):
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def test_the_python_runs_from_top_to_bottom():
    names = {}
    for block in blocks("python"):
        exec(block, names)
    assert names["returns"].shape == (8, len(names["steps"]))
    assert np.nanmax(names["returns"]) > 100, "it learns"
    assert names["sweep"].metrics.value_loss.shape == (3, 4, 100)
    assert names["transitions"].obs.shape == (32, 4, 4)
    assert names["stats"].returns.shape == (10,)
    assert names["more"].metrics.value_loss.shape == (8, 100)
    _, metrics = names["mine"].step(names["mine"].init(names["keys"][0]))
    assert np.isfinite(metrics.value_loss)


def test_the_example_command_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    install, tests, example = (block.strip() for block in blocks("bash"))
    assert install == "pip install -e . && a2c-jax train"
    assert tests == "pip install -e '.[test]' && pytest"
    program, *arguments = shlex.split(example)
    assert program == "a2c-jax"
    assert cli.main(arguments) == 0
    assert (tmp_path / "runs" / "mine" / "learning_curve.png").exists()
