"""The two tiers of tests, their compiled programs, and what most tests share.

The fast tier (``pytest``) compiles quickly: most tests compile for longer than they run, and with
most optimisations off, XLA's older emitters compile the program of one seed in a third of the time.
The slow tier (``pytest -m slow``) compiles as users do. Only there are two different programs of
the same numbers equal bit for bit, so tests that are marked ``bits`` run in both tiers.
"""

import gc
import importlib.util
import os
import shutil
import signal
import tempfile

import pytest

QUICK = {
    "XLA_FLAGS": "--xla_backend_extra_options=xla_cpu_disable_new_fusion_emitters",
    "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
}
# With a size limit JAX locks the folder: no process reads what another one has half written.
KEPT = {
    "JAX_COMPILATION_CACHE_MAX_SIZE": str(2**29),
    "JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS": "0.2",
    "JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES": "-1",
}
TINY = {"num_seeds": 2, "hidden_sizes": (4,), "total_steps": 800}


def runs_fast_tier(config):
    return "not slow" in config.option.markexpr


def pytest_addoption(parser):
    parser.addoption("--kills", type=int, default=3, help="how often runs are killed")


def pytest_configure(config):
    """Sets what JAX reads when it is imported, here and in the processes that tests start."""
    if "PYTEST_XDIST_WORKER" not in os.environ:
        tier = "fast" if runs_fast_tier(config) else "slow"
        try:
            kept = config.cache.mkdir("compiled") / tier  # `pytest --cache-clear` deletes it
        except (AttributeError, OSError):  # -p no:cacheprovider; a folder that is only read
            kept = tempfile.mkdtemp(prefix="a2c-jax-tests-")
        os.environ.update(KEPT, JAX_COMPILATION_CACHE_DIR=str(kept), JAX_NUM_CPU_DEVICES="2")
        os.environ.update(QUICK if tier == "fast" else {"JAX_DISABLE_MOST_OPTIMIZATIONS": "0"})
    # A shell's background jobs ignore Ctrl-C, and so would the processes that tests start.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    from a2c_jax.experiment.cli.startup import use_one_kernel_loops

    use_one_kernel_loops()  # as on the command line, in the slow tier
    # Tracing creates many objects, and looking for leaked tracers collects garbage again and again.
    gc.freeze()
    gc.set_threshold(50_000, 20, 20)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    """Selects tests marked ``bits`` in the slow tier too; longer files first, for the balance."""
    for item in items:
        slow = item.get_closest_marker("slow")
        if slow and not slow.args:
            raise pytest.UsageError(f"{item.nodeid}: give the reason, slow('...')")
        package = slow and slow.kwargs.get("package")
        if package and not importlib.util.find_spec(package):
            item.add_marker(pytest.mark.skip(reason=f"{package} is not installed"))
        if item.get_closest_marker("bits") and not runs_fast_tier(config):
            item.add_marker(pytest.mark.slow("bits are those of users' programs"))
    items.sort(key=lambda item: -item.path.stat().st_size)


@pytest.fixture(scope="session")
def cartpole():
    import a2c_jax as a2c

    return a2c.make_env("CartPole-v1")


@pytest.fixture(scope="session")
def small_algorithm(cartpole):
    """CartPole with a small network: quick to compile, real in every other way."""
    import optax

    import a2c_jax as a2c

    return a2c.actor_critic(
        cartpole,
        a2c.mlp_actor_critic(cartpole, hidden_sizes=(8,)),
        optax.chain(optax.clip_by_global_norm(0.5), optax.adam(1e-2)),
        num_envs=4,
        num_steps=5,
    )


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory):
    """A finished run of the default preset, evaluated on the way; copy its folder to change it."""
    from a2c_jax import experiment

    out = tmp_path_factory.mktemp("tiny") / "run"
    return experiment.train_run(**TINY, evaluate_every=10, evaluate_episodes=1, out=out)


@pytest.fixture
def tiny_copy(tiny_run, tmp_path):
    """The folder of a copy of :func:`tiny_run`."""
    return shutil.copytree(tiny_run.folder, tmp_path / "tiny copy")


@pytest.fixture
def refused(capsys):
    """Calls the command line, which has to exit with 2, and returns its only line of stderr."""
    from a2c_jax.experiment.cli import main as cli

    def refuse(*words):
        capsys.readouterr()
        assert cli.main([str(word) for word in words]) == 2
        error = capsys.readouterr().err
        assert error.count("\n") == 1, error
        return error

    return refuse
