"""The notebooks run from start to end, and are committed with the outputs of a real run."""

from pathlib import Path

import nbclient
import nbformat
import pytest

NOTEBOOKS = Path(__file__).parent.parent / "notebooks"
SMALL = {
    "01_article": {"NUM_SEEDS": 2, "NUM_EPISODES": 60, "SHOWN": 3},
    "02_variance": {
        "NUM_SEEDS": 2, "TOTAL_STEPS": 3_000, "GRADIENT_EPISODES": 4, "CRITIC_UPDATES": 20,
        "SHOWN": 3,
    },
    "03_many_seeds": {
        "NUM_SEEDS": 4, "TOTAL_STEPS": 4_000, "REPETITIONS": 1, "LEARNING_RATES": (1e-3, 2e-3),
        "DISCOUNTS": (0.9, 0.98), "SWEEP_SEEDS": 2, "NUM_APART": 1,
    },
    "04_your_own": {"NUM_SEEDS": 2, "NUM_UPDATES": 40, "TRACK_UPDATES": 20, "NUM_STAGES": 2},
    "05_what_matters": {"NUM_SEEDS": 2, "TOTAL_STEPS": 2_000, "ARTICLE_STEPS": 2_560, "SHOWN": 2},
    "06_runs": {
        "NUM_SEEDS": 2, "NUM_UPDATES": 40, "RUN_STEPS": 4_000, "TUNING_STEPS": 2_000,
        "GRID_STEPS": 800, "COMPARED_SEEDS": 2, "COMPARED_STEPS": 2_000,
    },
    "07_other_tasks": {
        "NUM_SEEDS": 2, "CHANGE_SEEDS": 2, "NUM_EPISODES": 2, "LONGEST": 8_192, "SHOWN": 1,
    },
}  # fmt: skip
# The critics of the measurement are fitted for longer than the whole of a small training.
HASTE = "from a2c_jax.experiment.comparison import gradients\ngradients._CRITIC_UPDATES = 20\n"


def read(name):
    return nbformat.read(NOTEBOOKS / f"{name}.ipynb", as_version=4)


def test_every_notebook_is_tested():
    assert {path.stem for path in NOTEBOOKS.glob("*.ipynb")} == SMALL.keys()


@pytest.mark.slow("whole notebooks")
@pytest.mark.parametrize("name", SMALL)
def test_it_runs_from_start_to_end(name, tmp_path, monkeypatch):
    # At these sizes nearly all of the time goes into compiling, which XLA's older emitters halve.
    older = "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters"
    monkeypatch.setenv("XLA_FLAGS", older)
    notebook = read(name)
    sizes = next(cell for cell in notebook.cells if "parameters" in cell.metadata.get("tags", ()))
    for parameter, value in SMALL[name].items():
        assert f"{parameter} = " in sizes.source
        sizes.source += f"\n{parameter} = {value}"
    sizes.source = HASTE + sizes.source
    kernel = {"kernel_name": "python3", "resources": {"metadata": {"path": str(tmp_path)}}}
    # Raises the first error of any cell.
    nbclient.NotebookClient(notebook, timeout=500, **kernel).execute()
    assert not list(tmp_path.iterdir()), "a notebook leaves nothing behind"


@pytest.mark.parametrize("name", SMALL)
def test_it_is_committed_with_the_outputs_of_a_real_run(name):
    notebook = read(name)
    nbformat.validate(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert [cell.execution_count for cell in code] == list(range(1, len(code) + 1))
    outputs = [output for cell in code for output in cell.outputs]
    assert not [output for output in outputs if output.output_type in ("error", "stream")]
    kinds = [kind for output in outputs for kind in output.get("data", {})]
    assert kinds.count("image/png") >= 2
    assert kinds.count("text/markdown") >= 1
