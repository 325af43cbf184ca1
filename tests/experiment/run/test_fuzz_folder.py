"""Whatever happens to a file of a run: the right numbers, or one sentence; never wrong ones."""

import collections
import functools
import json
import os
import resource
import shutil

import numpy as np
import pytest
from comparing import assert_identical
from conftest import TINY

from a2c_jax import experiment
from a2c_jax.experiment.run import folder as loading

READ = {"config.json", "metrics", "checkpoints"}


@pytest.fixture(scope="module", params=[False, pytest.param(True, marks=pytest.mark.slow("fuzz"))])
def everything(request):
    """Whether everything is tried, or a file of each kind and some values."""
    return request.param


def outcome(run, folder):
    try:
        loaded = experiment.load_run(folder)
    except ValueError as error:
        return "error" if str(error).endswith(".") and "\n" not in str(error) else str(error)
    for name in ("state", "metrics", "evaluations"):
        assert_identical(getattr(run, name), getattr(loaded, name))
    assert run.summary["final_returns"] == loaded.summary["final_returns"]
    return "right"


def damages(path, dice, others):
    """Functions that damage a file."""
    data = path.read_bytes()
    flipped = bytearray(data or b"x")
    flipped[dice.integers(len(flipped))] ^= 1 << int(dice.integers(8))
    for content in (data[: len(data) // 2], flipped):
        yield functools.partial(path.write_bytes, content)
    yield path.unlink
    for target in ("/dev/null", "not there"):
        yield lambda target=target: (path.unlink(), path.symlink_to(target))
    for other in filter(os.path.exists, others):
        yield functools.partial(shutil.copyfile, other, path)


def test_every_file_in_every_way(everything, tiny_run, tiny_copy, tmp_path, monkeypatch):
    # Most of the time of loading goes into the job, which config.json decides.
    monkeypatch.setattr(loading, "make_job", functools.cache(loading.make_job))
    dice, outcomes = np.random.default_rng(0), collections.Counter()
    others = []
    if everything:
        settings = {**TINY, "seed": 2, "evaluate_every": 10, "evaluate_episodes": 1}
        others = [experiment.train_run(**settings, out=tmp_path / "other").folder]
    paths = sorted(path for path in tiny_copy.rglob("*") if path.is_file())
    if not everything:  # arrays' files are 0, 0.0 and so on
        paths = {paths[i].name.strip("0."): paths[i] for i in dice.permutation(len(paths))}.values()
    for path in paths:
        name = path.relative_to(tiny_copy)
        for damage in damages(path, dice, [other / name for other in others]):
            damage()
            found = outcome(tiny_run, tiny_copy)
            outcomes[found] += 1
            assert found == "right" or (found == "error" and name.parts[0] in READ), (name, found)
            path.unlink(missing_ok=True)
            shutil.copyfile(tiny_run.folder / name, path)
    assert min(outcomes["right"], outcomes["error"]) > 8


def test_config_json_with_wrong_values(everything, tiny_run, tiny_copy):
    content = json.loads((tiny_copy / "config.json").read_text())
    dice, outcomes = np.random.default_rng(0), collections.Counter()
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    texts = ["[" * 100_000 + "]" * 100_000, '{"a":' * 100_000 + "1" + "}" * 100_000]
    values = (..., 10**9, None, "x", -1, 10**399, 0.5, True, [], {}, [10**9], float("nan"))
    for place in (content, content["settings"]):
        for name, right in [*place.items()]:
            for number in dice.permutation(len(values))[: None if everything else 2]:
                value = values[number]
                place.pop(name) if value is ... else place.update({name: value})
                texts.append(json.dumps(content))
                place[name] = right
    for text in texts:
        (tiny_copy / "config.json").write_text(text)
        outcomes[outcome(tiny_run, tiny_copy)] += 1
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before  # KiB
    assert set(outcomes) == {"right", "error"}
    assert min(outcomes.values()) > 5
    assert grown < 2**20
