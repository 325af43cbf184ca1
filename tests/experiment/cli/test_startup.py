"""What the command line sets before JAX starts, and only then."""

import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import jax
import pytest

from a2c_jax.experiment.cli import startup

LOOPS = "xla_cpu_small_while_loop_byte_threshold"
ASK = """
import json, os, sys, jax
from a2c_jax.experiment.cli import startup
startup.prepare_jax()
startup.load_later("no_such_module")
import gymnax
loaded = [name for name in ("scipy.stats", "pandas", "no_such_module") if name in sys.modules]
import matplotlib.pyplot as plt
import seaborn as sns
import seaborn.utils
from seaborn import color_palette
later = [loaded, callable(plt.figure), sns.color_palette is color_palette, type(sns).__name__,
         sys.modules["seaborn"] is sns]
startup.load_later("seaborn")  # which is loaded already
print(json.dumps([later, sys.modules["seaborn"] is sns, os.environ.get("XLA_FLAGS", ""),
                  jax.config.jax_compilation_cache_dir, jax.local_device_count(),
                  float(jax.jit(lambda x: x + 1)(1.0))]))
"""


def settings(tmp_path, **environment):
    """What a fresh process has after ``prepare_jax``: modules, flags, cache, devices, and 2.0."""
    keep = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JAX_", "XLA_", "XDG_"))
    }
    keep |= {"HOME": str(tmp_path), "JAX_PLATFORMS": "cpu"} | environment
    out = subprocess.run(
        [sys.executable, "-c", ASK], env=keep, check=True, capture_output=True, text=True,
        timeout=120,
    )  # fmt: skip
    later, *found = json.loads(out.stdout)
    assert later == [[], True, True, "module", True], "gymnax loads without what it draws with"
    return found


def test_a_process_of_its_own_gets_cores_loops_and_a_cache(tmp_path):
    same, flags, cache, devices, two = settings(tmp_path)
    assert same, "a module that is loaded is left alone"
    assert LOOPS in flags
    assert cache == str(tmp_path / ".cache" / "a2c_jax" / "compiled")
    assert devices == len(os.sched_getaffinity(0))
    assert two == 2.0


def test_what_was_decided_elsewhere_stays(tmp_path):
    elsewhere = str(tmp_path / "elsewhere")
    flags = f"--xla_backend_extra_options={LOOPS}=1024"
    found = settings(
        tmp_path,
        XLA_FLAGS=flags, JAX_NUM_CPU_DEVICES="3", JAX_COMPILATION_CACHE_DIR=elsewhere,
    )  # fmt: skip
    assert found == [True, flags, elsewhere, 3, 2.0]


@pytest.fixture
def undecided(monkeypatch, tmp_path):
    """As if no cache and no flags had been chosen."""
    for name in ("JAX_COMPILATION_CACHE_DIR", "JAX_COMPILATION_CACHE_MAX_SIZE", "XLA_FLAGS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "caches"))
    monkeypatch.setattr(type(jax.config), "jax_compilation_cache_dir", None, raising=False)


@pytest.fixture
def set_to(undecided, monkeypatch):
    """What JAX is set to from here on."""
    found = {}
    monkeypatch.setattr(startup.jax.config, "update", found.__setitem__)
    return found


def test_the_cache_is_bounded(set_to, tmp_path):
    startup.keep_compiled_programs()
    assert set_to["jax_compilation_cache_dir"] == str(tmp_path / "caches/a2c_jax/compiled")
    assert set_to["jax_compilation_cache_max_size"] == 2**30


def test_a_cache_that_cannot_be_written_is_done_without(set_to, tmp_path):
    (tmp_path / "caches").write_text("")
    startup.keep_compiled_programs()
    assert set_to == {}


def test_once_jax_has_started_nothing_is_touched(undecided, tmp_path):
    assert jax.devices()
    before = dict(jax.config.values)
    startup.prepare_jax()
    assert dict(jax.config.values) == before
    assert "XLA_FLAGS" not in os.environ
    assert not (tmp_path / "caches").exists()


def test_flags_are_added_to_others(monkeypatch):
    others = "--xla_cpu_enable_fast_math=false"
    monkeypatch.setenv("XLA_FLAGS", others)
    startup.use_one_kernel_loops()
    assert os.environ["XLA_FLAGS"].startswith(others + " ")
    assert LOOPS in os.environ["XLA_FLAGS"]


@pytest.mark.parametrize(("version", "known"), [("0.10.2", True), ("0.11.2", True), ("0.12.0", 0)])
def test_flags_are_for_versions_that_know_them(version, known, monkeypatch):
    monkeypatch.setattr(startup.jaxlib, "__version__", version)
    monkeypatch.setenv("XLA_FLAGS", "")
    startup.use_one_kernel_loops()
    assert (LOOPS in os.environ["XLA_FLAGS"]) == known


def test_a_module_that_fails_to_load_is_not_left_behind(tmp_path, monkeypatch):
    (tmp_path / "fails_to_load.py").write_text("raise OSError('no disk')")
    monkeypatch.syspath_prepend(str(tmp_path))
    startup.load_later("fails_to_load")
    module = sys.modules["fails_to_load"]
    with pytest.raises(OSError, match="no disk"):
        _ = module.anything
    assert "fails_to_load" not in sys.modules


def test_threads_wait_for_a_module_that_another_one_loads(tmp_path, monkeypatch):
    code = "import time\nfirst = 1\ntime.sleep(0.2)\nlast = 2\n"
    (tmp_path / "loads_slowly.py").write_text(code)
    monkeypatch.syspath_prepend(str(tmp_path))
    startup.load_later("loads_slowly")
    module = sys.modules["loads_slowly"]
    monkeypatch.delitem(sys.modules, "loads_slowly")
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda _: module.last, range(4))) == [2] * 4
