"""The settings of a preset and of its method, as one flat table."""

import dataclasses
from typing import Any, TypeVar, get_type_hints

from a2c_jax.methods import Method
from a2c_jax.presets import ArticlePreset, Preset

SettingsT = TypeVar("SettingsT", bound=Preset | ArticlePreset)


def as_dict(settings: Preset | ArticlePreset) -> dict[str, Any]:
    """Every setting by name, including the method's own settings but not the method itself."""
    values = {**vars(settings), **vars(_method(settings))}
    return {name: value for name, value in values.items() if name != "method"}


def setting_types(settings: Preset | ArticlePreset) -> dict[str, Any]:
    """The declared type of every setting."""
    return get_type_hints(type(settings)) | get_type_hints(type(_method(settings)))


def replace(settings: SettingsT, **changes: Any) -> SettingsT:
    """As ``dataclasses.replace``, but changes may include the method's own settings.

    A new ``method`` is applied before its settings.

    Raises:
        TypeError: if there is no setting of that name.
    """
    own = {name: changes.pop(name) for name in list(changes) if name in vars(settings)}
    settings = dataclasses.replace(settings, **own)
    if not changes:
        return settings
    method = dataclasses.replace(_method(settings), **changes)
    return dataclasses.replace(settings, method=method)  # type: ignore[arg-type]


def _method(settings: Preset | ArticlePreset) -> Method:
    return settings.method if isinstance(settings, Preset) else Method()
