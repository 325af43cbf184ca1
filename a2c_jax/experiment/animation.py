"""CartPole as an animated picture, for places that show no page."""

import functools
from typing import Any, BinaryIO

import numpy as np
from PIL import Image, ImageColor, ImageDraw, ImageFont

from a2c_jax import checks
from a2c_jax.experiment.recording import (
    ANGLE_LIMIT,
    POLE_LENGTH,
    POSITION_LIMIT,
    STEP_SECONDS,
    RecordedEpisode,
    Recording,
    ending_of,
    episode_of,
    is_cartpole,
)

SIZE = (400, 190)  # pixels
HOLD_SECONDS = 1.0
"""How long the last picture stands before the first comes again."""

_FINE = 3  # drawn so much larger and then reduced, which smooths the edges
_SHADES = 7
_METRE = SIZE[0] / (2 * POSITION_LIMIT + 0.7)  # in pixels
_GROUND = SIZE[1] - 30
_BLUE, _ORANGE = "#0072B2", "#D55E00"  # Okabe & Ito
_DARK, _FAINT, _PALE, _BACK = "#39424D", "#6B7580", "#C7CBD0", "#FFFFFF"


def write_gif(
    file: BinaryIO, recording: Recording, *, seed: int, episode: int, every: int = 2
) -> None:
    """Writes an episode as a GIF that loops at true speed.

    Args:
        file: where it goes.
        recording: of CartPole.
        seed: one of the recorded seeds.
        episode: which of its episodes, counting from 0.
        every: steps of 0.02 seconds from one picture to the next; the last is always there.

    Raises:
        ValueError: if the recording is not of CartPole or does not hold the episode, or
            ``every`` is not a whole number of at least 1.
    """
    if not is_cartpole(recording):
        raise ValueError(
            f"recording is of {recording.env_name}, and only CartPole can be drawn; give a "
            "recording of CartPole, or look at the page, which has charts for any environment."
        )
    every = checks.positive_int("every", every)
    played = episode_of(recording, seed, episode)
    length = len(played.actions)
    steps = [*range(0, length, every), length]
    label = f"seed {seed}, episode {episode}"
    pictures = [_picture(recording, played, step, label) for step in steps]
    palette = _palette()
    frames = [p.quantize(palette=palette, dither=Image.Dither.NONE) for p in pictures]
    shown = [round(1000 * STEP_SECONDS) * int(count) for count in np.diff(steps)]
    frames[0].save(
        file,
        format="GIF",
        save_all=True,
        append_images=frames[1:],
        duration=[*shown, round(1000 * HOLD_SECONDS)],  # milliseconds
        loop=0,
    )


def _palette() -> Image.Image:
    """Each colour in a few shades towards the background, as smooth edges need them."""
    back = np.array(ImageColor.getrgb(_BACK))
    shades = np.linspace(0.0, 1.0, _SHADES, endpoint=False)
    colors = [np.array(ImageColor.getrgb(color)) for color in (_BLUE, _ORANGE, _DARK, _FAINT)]
    mixed = [color + (back - color) * shade for color in colors for shade in shades]
    palette = Image.new("P", (1, 1))
    palette.putpalette(np.round([back, *mixed]).astype(int).ravel().tolist())
    return palette


def _picture(recording: Recording, played: RecordedEpisode, step: int, label: str) -> Image.Image:
    image = Image.new("RGB", (SIZE[0] * _FINE, SIZE[1] * _FINE), _BACK)
    draw = ImageDraw.Draw(image)
    ended = step == len(played.actions)
    fallen = ended and played.terminated
    position, _, angle, _ = played.observations[step].tolist()
    _draw_track(draw)
    _draw_cart(draw, position, angle, _ORANGE if fallen else _BLUE)
    total = float(played.rewards[:step].sum())
    _text(draw, (12, 10), f"step {step}", _DARK, "la")
    _text(draw, (100, 10), f"return {total:g}", _DARK, "la")
    _text(draw, (SIZE[0] - 12, 10), label, _FAINT, "ra")
    if ended:
        color = _ORANGE if fallen else _DARK
        _text(draw, (SIZE[0] / 2, 32), ending_of(recording, played), color, "ma")
    return image.reduce(_FINE)


def _draw_track(draw: ImageDraw.ImageDraw) -> None:
    _line(draw, (0, _GROUND), (SIZE[0], _GROUND), _FAINT, 2)
    for metres in (-POSITION_LIMIT, -1.0, 0.0, 1.0, POSITION_LIMIT):
        x, limit = _to_x(metres), abs(metres) == POSITION_LIMIT
        if limit:
            _line(draw, (x, 34), (x, _GROUND), _ORANGE, 1)
        _line(draw, (x, _GROUND), (x, _GROUND + 5), _FAINT, 1)
        _text(draw, (x, _GROUND + 8), f"{metres:g} m", _ORANGE if limit else _FAINT, "ma")


def _draw_cart(draw: ImageDraw.ImageDraw, position: float, angle: float, pole: str) -> None:
    x, top, wheel = _to_x(position), _GROUND - 0.32 * _METRE, 0.06 * _METRE

    def tip(angle: float) -> tuple[float, float]:
        reach = POLE_LENGTH * _METRE
        return x + float(np.sin(angle)) * reach, top - float(np.cos(angle)) * reach

    for limit in (-ANGLE_LIMIT, ANGLE_LIMIT):
        _line(draw, (x, top), tip(limit), _PALE, 1)
    draw.rounded_rectangle(
        _fine(x - 0.25 * _METRE, top, x + 0.25 * _METRE, _GROUND - wheel), 4 * _FINE, fill=_DARK
    )
    for side in (-0.15, 0.15):
        middle = x + side * _METRE
        box = _fine(middle - wheel, _GROUND - 2 * wheel, middle + wheel, _GROUND)
        draw.ellipse(box, fill=_BACK, outline=_DARK, width=2 * _FINE)
    _line(draw, (x, top), tip(angle), pole, 5)
    draw.ellipse(_fine(x - 3, top - 3, x + 3, top + 3), fill=_BACK, outline=pole, width=_FINE)


def _to_x(metres: float) -> float:
    return SIZE[0] / 2 + metres * _METRE


def _line(
    draw: ImageDraw.ImageDraw,
    start: tuple[float, float],
    end: tuple[float, float],
    color: str,
    width: int,
) -> None:
    draw.line(_fine(*start, *end), fill=color, width=width * _FINE)


def _text(
    draw: ImageDraw.ImageDraw, at: tuple[float, float], text: str, color: str, anchor: str
) -> None:
    x, y = _fine(*at)
    draw.text((x, y), text, fill=color, font=_font(), anchor=anchor)


@functools.cache
def _font() -> Any:
    return ImageFont.load_default(size=13 * _FINE)


def _fine(*pixels: float) -> list[float]:
    return [pixel * _FINE for pixel in pixels]
