"""Joins runs of different seeds into one, so that several machines can train one run.

Seeds are independent, so any scheduler can train ranges of them in separate folders. On a CPU, the
joined run equals, bit for bit, a run of all the seeds in a single process.
"""

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from a2c_jax.experiment.config import TrainConfig, differences
from a2c_jax.experiment.envs import EnvName, env_label
from a2c_jax.experiment.files import (
    as_bad_input,
    as_write_error,
    json_writer,
    open_folder,
    remove_files,
    write_together,
)
from a2c_jax.experiment.run.checkpoints import Saver
from a2c_jax.experiment.run.engine import Evaluations, Outcome
from a2c_jax.experiment.run.folder import (
    CONFIG,
    FILES,
    Run,
    load_run,
    read_about,
    write_results,
)
from a2c_jax.experiment.run.job import Job, check_memory, describe_job, job_identity, make_job
from a2c_jax.experiment.run.log import LOG, read_log
from a2c_jax.parallel import Group, SeedLayout, gather_groups


def join_runs(
    folders: Sequence[Path | str],
    out: Path | str | None = None,
    name: str | None = None,
    env: EnvName | None = None,
) -> Run:
    """Joins runs into a new run of all their seeds, in the order of their first seeds.

    The runs do not change. They may differ in their seeds only. The new folder is ``out``, or one
    under ``runs/``, of this ``name`` if one is given; ``env`` is their custom environment. If the
    joined run cannot be written, its files are removed.
    """
    with as_bad_input():
        runs = _load_all(folders, env)
        seeds = tuple(seed for run in runs for seed in run.job.seeds)
        own: dict[str, Any] = {
            "seeds": seeds,
            "num_seeds": len(seeds),
            "seed": seeds[0],
            "resume": None,
        }
        config = dataclasses.replace(runs[0].config, **own)
        job = make_job(config)
        check_memory(job)
    with open_folder(out, False, f"{env_label(config.env)}-joined", name) as folder:
        try:
            with as_write_error("joined run"):
                return _write(folder, config, job, runs)
        except BaseException:
            remove_files(folder, FILES)
            raise


def _load_all(folders: Sequence[Path | str], env: EnvName | None) -> list[Run]:
    if len(folders) < 2:  # noqa: PLR2004
        raise ValueError(f"runs holds {len(folders)} folders; give at least two runs to join.")
    runs = sorted((load_run(one, env=env) for one in folders), key=lambda run: run.job.seeds[0])
    first = runs[0]
    for run in runs[1:]:
        for name, (theirs, ours) in differences(_identity(run), _identity(first)).items():
            raise ValueError(
                f"runs holds {str(run.folder)!r}, where {name} is {theirs!r}, and "
                f"{str(first.folder)!r}, where it is {ours!r}; join runs that differ in their "
                "seeds only."
            )
    return runs


def _write(folder: Path, config: TrainConfig, job: Job, runs: Sequence[Run]) -> Run:
    # In one group, so that the states are saved and loaded without a device.
    number = len(job.seeds)
    on_host = job._replace(layout=SeedLayout(number, number, job.layout.devices[:1]))
    outcome, evaluations = _results(runs, on_host.layout)
    lines = (
        json.dumps({"run": run.folder.name, **line}) + "\n"
        for run in runs
        for line in read_log(run.folder / LOG, run.summary["num_updates"])
    )
    log = "".join(lines).encode()
    description = json_writer(_describe(config, job, runs))
    Saver(folder, config, on_host, []).save(outcome, evaluations)
    write_together(folder, {CONFIG: description, LOG: lambda file: file.write(log)})
    return write_results(folder, config, on_host, outcome, evaluations)._replace(job=job)


def _describe(config: TrainConfig, job: Job, runs: Sequence[Run]) -> dict[str, Any]:
    """The description of the joined run, with the versions and device of the first run."""
    description = describe_job(config, job)
    joined = []
    for run in runs:
        about = read_about(run.folder, "runs")
        machine = {name: about.get(name) for name in ("versions", "device")}
        joined.append({"run": str(run.folder), "seeds": list(run.job.seeds), **machine})
    first = read_about(runs[0].folder, "runs")
    description["about"] |= {**first, "seeds": list(job.seeds), "joined": joined}
    description["about"].pop("resumed", None)
    return description


def _identity(run: Run) -> dict[str, Any]:
    """The properties in which joined runs must agree."""
    about = read_about(run.folder, "runs")
    return {
        **job_identity(run.config, run.job),
        "seeds": None,
        "num_updates": run.summary["num_updates"],
        "lengths": about.get("lengths"),
        "seeds_in_a_call": about.get("seeds_in_a_call"),
        "evaluations": run.evaluations.updates.tolist(),
    }


def _results(runs: Sequence[Run], layout: SeedLayout) -> tuple[Outcome, Evaluations]:
    parts: Any = [Group(None, (run.state, run.metrics, run.evaluations)) for run in runs]  # type: ignore[arg-type]
    state, metrics, evaluations = gather_groups(parts, layout)
    # The runs may have been trained in parallel: a user has waited for the longest.
    compiling, training = (
        max(run.summary[name] for run in runs) for name in ("compile_seconds", "train_seconds")
    )
    outcome = Outcome([Group(None, state)], metrics, compiling, training)  # type: ignore[arg-type]
    return outcome, evaluations._replace(updates=runs[0].evaluations.updates)
