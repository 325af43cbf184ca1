"""The GIF shows the episode at true speed."""

import io
import itertools

import numpy as np
import pytest
from PIL import Image
from test_experiment_replay import made_recording

from a2c_jax.experiment.animation import HOLD_SECONDS, SIZE, write_gif


def gif(recording, **options):
    file = io.BytesIO()
    write_gif(file, recording, **{"seed": 3, "episode": 0, **options})
    return Image.open(io.BytesIO(file.getvalue()))


def frames(image):
    """All pictures [F, H, W, 3] and how long each stands, in milliseconds."""
    pictures, durations = [], []
    for number in range(image.n_frames):
        image.seek(number)
        durations.append(image.info["duration"])
        pictures.append(np.asarray(image.convert("RGB")))
    return np.stack(pictures), durations


@pytest.mark.parametrize(
    ("every", "expected"),
    [
        # 11 steps of 20 ms: pictures at 0, 2, ..., 10 and 11
        (2, [40] * 5 + [20]),
        # at 0, 1, ..., 11
        (1, [20] * 11),
        # at 0, 11
        (50, [220]),
    ],
)
def test_pictures_stand_as_long_as_the_steps_took(every, expected):
    image = gif(made_recording(length=11), every=every)
    assert image.size == SIZE
    assert image.info["loop"] == 0, "for ever"
    pictures, durations = frames(image)
    assert durations == [*expected, 1000 * HOLD_SECONDS]
    assert all((a != b).any() for a, b in itertools.pairwise(pictures))


def middle_of(picture, color):
    """Where, from left to right, the pixels of nearly that colour lie."""
    near = np.abs(picture.astype(int) - color).sum(axis=-1) < 60
    return np.nonzero(near)[1].mean()


def test_the_cart_stands_where_it_was():
    recording = made_recording(length=3)
    recording.observations[0, 0, :, 0] = [-1.2, 0.0, 1.2]
    recording.observations[0, 0, :, 2] = 0.0
    pictures, _ = frames(gif(recording, every=1))
    blue = [middle_of(picture, (0x00, 0x72, 0xB2)) for picture in pictures[:3]]
    # 400 pixels for 5.5 metres
    np.testing.assert_allclose(blue, [200 - 1.2 * 400 / 5.5, 200, 200 + 1.2 * 400 / 5.5], atol=1.5)


def test_the_pole_leans_to_where_it_falls():
    recording = made_recording(length=3)
    recording.observations[0, 0, :, 0] = 0.0
    recording.observations[0, 0, :, 2] = [-0.2, 0.0, 0.2]
    left, upright, right = (
        middle_of(picture, (0x00, 0x72, 0xB2)) for picture in frames(gif(recording, every=1))[0][:3]
    )
    assert left < upright - 3 < upright + 3 < right


def test_a_long_episode_is_a_small_file():
    file = io.BytesIO()
    write_gif(file, made_recording(length=500), seed=3, episode=0)
    assert len(file.getvalue()) < 1_000_000


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 5}, "seed is 5, which was not recorded; give one of these: 3, 8"),
        ({"episode": 2}, "episode is 2, .* from 0 to 1"),
        ({"every": 0}, "every is 0; give a whole number of at least 1"),
    ],
)
def test_bad_input_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        gif(made_recording(length=3), **changes)


def test_only_cartpole_is_drawn():
    recording = made_recording(length=3)._replace(env_name="Acrobot-v1")
    with pytest.raises(ValueError, match="of Acrobot-v1, and only CartPole can be drawn; give"):
        gif(recording)
