"""Settings that the command line makes in its own process before JAX starts.

A library must not make them. Settings made by other means take precedence.
"""

import contextlib
import importlib
import os
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jaxlib

_config: Any = jax.config  # older versions do not declare its names to type checkers
_FLAG = "xla_backend_extra_options"
_LOOPS = f"--{_FLAG}=xla_cpu_small_while_loop_byte_threshold=65536"
_KNOWN = ((0, 10), (0, 11))  # versions of jaxlib with which the flag was measured


def prepare_jax() -> None:
    """Sets up JAX for the command line, unless it has started already."""
    if not _started():
        use_all_cores()
        use_one_kernel_loops()
        keep_compiled_programs()
    import_gymnax_without_pictures()  # starts JAX


def import_gymnax_without_pictures() -> None:
    """Imports gymnax without the libraries of pictures, which it then imports when it draws.

    They take three quarters of the two seconds of its import.
    """
    later = [name for name in ("seaborn", "matplotlib.pyplot") if name not in sys.modules]
    for name in later:
        module: Any = ModuleType(name)
        module.__getattr__ = lambda attribute, name=name: getattr(
            importlib.import_module(name), attribute
        )
        sys.modules[name] = module
    try:
        importlib.import_module("gymnax")
    finally:
        for name in later:
            del sys.modules[name]


def use_all_cores() -> None:
    """Makes each CPU core a device, so that seeds train in parallel, unless their number is set."""
    if "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)


def use_one_kernel_loops() -> None:
    """Lets XLA's CPU back end compile a small loop, such as a rollout, into one kernel.

    Calling the kernels of single steps takes longer than running them. Training is 1.29 [0.99,
    1.45] times as fast with the article's network, and 1.05 [0.64, 1.23] with the default one.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    version = tuple(int(part) for part in jaxlib.__version__.split(".")[:2])
    is_file = flags and not flags.lstrip().startswith("-")
    # XLA ends the process on an unknown flag.
    if _FLAG not in flags and not is_file and version in _KNOWN:
        os.environ["XLA_FLAGS"] = f"{flags} {_LOOPS}".strip()


def keep_compiled_programs() -> None:
    """Caches compiled programs on disk, so that a run like an earlier one begins at once.

    By default the cache is among the user's caches, with at most a gigabyte; environment variables
    such as ``JAX_COMPILATION_CACHE_DIR`` override this. ``JAX_ENABLE_COMPILATION_CACHE=false``
    disables the cache.
    """
    if "JAX_COMPILATION_CACHE_DIR" in os.environ or _config.jax_compilation_cache_dir:
        return
    with contextlib.suppress(OSError, RuntimeError):  # no home, or read-only: nothing is kept
        caches = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        folder = Path(caches) / "a2c_jax" / "compiled"
        folder.mkdir(parents=True, exist_ok=True)
        if os.access(folder, os.W_OK):
            jax.config.update("jax_compilation_cache_dir", str(folder))
            for name, value in (
                ("jax_compilation_cache_max_size", 2**30),
                ("jax_persistent_cache_min_compile_time_secs", 0.1),
            ):
                if name.upper() not in os.environ:
                    jax.config.update(name, value)


def _started() -> bool:
    before = _config.jax_num_cpu_devices
    try:
        # Once JAX has started, it refuses a change.
        jax.config.update("jax_num_cpu_devices", 2 if before == 1 else 1)
    except RuntimeError:
        return True
    jax.config.update("jax_num_cpu_devices", before)
    return False
