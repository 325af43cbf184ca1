"""Settings that the command line makes in its own process before JAX starts.

A library must not make them. Settings made by other means take precedence.
"""

import contextlib
import importlib
import importlib.util
import os
import sys
import threading
from pathlib import Path
from types import ModuleType
from typing import Any

import jax
import jaxlib

_config: Any = jax.config  # older versions do not declare its names to type checkers
_FLAG = "xla_backend_extra_options"
_LOOPS = f"--{_FLAG}=xla_cpu_small_while_loop_byte_threshold=65536"
_KNOWN = ((0, 10), (0, 11))  # versions of jaxlib with which the flag was measured
_CACHE_BYTES = 2**30


def prepare_jax() -> None:
    """Sets up JAX for the command line, unless it has started already."""
    load_later("seaborn", "matplotlib.pyplot")
    if _started():
        return
    use_all_cores()
    use_one_kernel_loops()
    keep_compiled_programs()


def load_later(*names: str) -> None:
    """Defers loading modules until one of their names is used.

    Importing gymnax takes two seconds. Three quarters of them are seaborn and pyplot, which it
    uses only for pictures that this package never draws.
    """
    for name in names:
        parent, _, child = name.rpartition(".")
        spec = None if name in sys.modules else importlib.util.find_spec(name)
        if spec is not None:
            sys.modules[name] = module = importlib.util.module_from_spec(spec)
            module.__class__ = _LoadedLater
            if parent:
                setattr(sys.modules[parent], child, module)


_LOADING = threading.RLock()


class _LoadedLater(ModuleType):
    # Not importlib's LazyLoader, whose modules load as soon as a second module imports them.

    def __getattr__(self, name: str) -> Any:
        """Loads the module, once; Python calls it for missing names."""
        with _LOADING:  # other threads wait; this one may call it again, from within the module
            if isinstance(self, _LoadedLater):
                if "__loading__" in vars(self):
                    raise AttributeError(f"module {self.__name__!r} has no attribute {name!r} yet")
                vars(self)["__loading__"] = True
                self._load()
        return getattr(self, name)

    def _load(self) -> None:
        spec: Any = self.__spec__
        try:
            spec.loader.exec_module(self)
        except BaseException:
            sys.modules.pop(spec.name, None)
            parent, _, child = spec.name.rpartition(".")
            vars(sys.modules.get(parent, self)).pop(child, None)
            raise
        self.__class__ = ModuleType  # type: ignore[assignment]


def use_all_cores() -> None:
    """Makes each CPU core a device, so that seeds train in parallel, unless their number is set."""
    if "JAX_NUM_CPU_DEVICES" in os.environ or "device_count" in os.environ.get("XLA_FLAGS", ""):
        return
    has_affinity = hasattr(os, "sched_getaffinity")  # not on macOS
    cores = len(os.sched_getaffinity(0)) if has_affinity else os.cpu_count() or 1
    jax.config.update("jax_num_cpu_devices", cores)


def use_one_kernel_loops() -> None:
    """Lets XLA's CPU back end compile a small loop, such as a rollout, into one kernel.

    Calling the kernels of single steps takes longer than running them. One kernel reduces the time
    of a rollout of 16 steps of 8 CartPoles to a third, and of training with the article's network
    to 0.8.
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
            _set_unless_configured("jax_compilation_cache_max_size", _CACHE_BYTES)
            _set_unless_configured("jax_persistent_cache_min_compile_time_secs", 0.1)


def _set_unless_configured(name: str, value: float) -> None:
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
