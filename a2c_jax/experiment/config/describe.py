"""Settings, versions and devices as JSON can hold them."""

import functools
import importlib.metadata
import math
import platform
from collections.abc import Sequence
from typing import Any

import jax

from a2c_jax.architectures import architecture_name
from a2c_jax.experiment.config.settings import as_dict
from a2c_jax.methods import method_name
from a2c_jax.presets import ArticlePreset, OwnAlgorithm, Settings

_PACKAGES = ("a2c_jax", "jax", "jaxlib", "flax", "optax", "gymnax", "chex", "numpy")


def describe_settings(settings: Settings) -> dict[str, Any]:
    """Every setting as JSON: functions and methods by name, an infinite limit as None."""
    fields = as_dict(settings)
    if isinstance(settings, OwnAlgorithm):
        return fields
    if isinstance(settings, ArticlePreset):
        return {**fields, "defects": settings.defects._asdict()}
    for name in ("network", "q_network", "optimizer"):
        fields[name] = _describe_function(fields[name])
    if math.isinf(settings.max_grad_norm):
        fields["max_grad_norm"] = None
    fields["method"] = method_name(settings.method)
    fields["architecture"] = architecture_name(settings.architecture)
    return fields


def describe_machine(devices: Sequence[jax.Device]) -> dict[str, Any]:
    """Versions and devices."""
    return {
        "versions": {
            "python": platform.python_version(),
            **{name: importlib.metadata.version(name) for name in _PACKAGES},
        },
        "device": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
        },
    }


def _describe_function(function: Any) -> Any:
    if isinstance(function, functools.partial):
        return {"name": function.func.__name__, **function.keywords}
    return {"name": function.__name__}
