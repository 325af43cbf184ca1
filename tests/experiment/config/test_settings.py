import pytest

from a2c_jax import presets
from a2c_jax.experiment.config.settings import as_dict, replace
from a2c_jax.methods import GAE, METHODS


def test_a_setting_can_be_changed_and_read_wherever_it_stands():
    preset = replace(presets.general, discount=0.5, method=METHODS["gae"], gae_lambda=0.3)
    assert (preset.discount, preset.method) == (0.5, GAE(gae_lambda=0.3))
    assert as_dict(preset)["discount"] == 0.5
    assert as_dict(preset)["gae_lambda"] == 0.3
    assert replace(preset, gae_lambda=0.7).method == GAE(gae_lambda=0.7)
    assert "gae_lambda" in as_dict(preset)
    assert not {"method", "num_workers"} & {*as_dict(preset)}
    assert replace(presets.article, num_episodes=7).num_episodes == 7


@pytest.mark.parametrize("preset", [presets.general, presets.article])
def test_a_setting_of_another_method_cannot_be_changed(preset):
    with pytest.raises(TypeError, match="gae_lambda"):
        replace(preset, gae_lambda=0.3)
