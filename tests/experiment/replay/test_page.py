"""The page holds the recording, loads nothing, and its script runs."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.special import softmax

import a2c_jax as a2c
from a2c_jax.experiment.replay.page import replay_page
from a2c_jax.experiment.replay.recording import Recording


def made_recording(length=20, components=(4,), num_actions=2, env_name="CartPole-v1"):
    """Two seeds of two episodes: ``length`` steps to the time limit, and fewer to a fall."""
    random = np.random.default_rng(0)
    shape = (2, 2, length)
    return Recording(
        env_name=env_name,
        action_space=a2c.Discrete(num_actions),
        seeds=(3, 8),
        observations=random.uniform(-0.2, 0.2, (*shape, *components)),
        final_observations=random.uniform(-0.2, 0.2, (2, 2, *components)),
        actions=random.integers(0, num_actions, shape),
        outputs=random.normal(size=(*shape, num_actions)),
        values=random.normal(50, 3, shape),
        rewards=np.ones(shape),
        lengths=np.array([[length, length - 2], [length - 1, length]]),
        terminated=np.array([[False, True], [True, False]]),
    )


OTHER = {
    "image": {"components": (10, 10, 4), "num_actions": 3},
    "many actions": {"components": (2,), "num_actions": 18},
    "one number": {"components": (), "num_actions": 2},
}


def page_of(recording):
    return replay_page(recording, title="a title")


def data_of(page):
    (text,) = re.findall(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    return json.loads(text)


def probabilities_of(recording, at):
    return softmax(recording.outputs[at], axis=-1)


def test_the_page_holds_the_recording():
    recording = made_recording()
    data = data_of(page_of(recording))
    assert [seed["seed"] for seed in data["seeds"]] == [3, 8]
    for at, length in np.ndenumerate(recording.lengths):
        episode = data["seeds"][at[0]]["episodes"][at[1]]
        played, seen = (*at, slice(length)), np.array(episode["observations"])
        assert seen.shape == (4, length + 1), "and the state it ended in"
        np.testing.assert_allclose(seen[:, :-1].T, recording.observations[played], rtol=1e-3)
        np.testing.assert_allclose(seen[:, -1], recording.final_observations[at], rtol=1e-3)
        assert episode["actions"] == recording.actions[played].tolist()
        expected = probabilities_of(recording, played).T
        np.testing.assert_allclose(episode["probabilities"], expected, rtol=1e-3)
        np.testing.assert_allclose(episode["values"], recording.values[played], rtol=1e-5)
        assert episode["rewards"] == [1] * length
        assert episode["ending"] == ("pole fell" if recording.terminated[at] else "time limit")


@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_the_page_of_another_environment_has_no_drawing(other):
    recording = made_recording(**other, env_name="Other-v0")
    data = data_of(page_of(recording))
    episode = data["seeds"][0]["episodes"][0]
    assert data["drawing"] is None
    few = recording.final_observations[0, 0].size <= 8
    assert bool(data["components"]) == bool(episode["observations"]) == few
    if len(data["actions"]) > 7:
        taken = recording.actions[0, 0]
        expected = probabilities_of(recording, (0, 0))[np.arange(len(taken)), taken]
        np.testing.assert_allclose(episode["probabilities"], [expected], rtol=1e-3)


def test_the_page_loads_nothing_from_elsewhere():
    page = page_of(made_recording())
    assert "://" not in page
    assert not re.search(r"<(link|img|iframe|object|embed)\b|@import|url\(|\bsrc=|\bfetch\(", page)
    assert len(re.findall(r"<script[^>]*>", page)) == 2


def test_hostile_text_stays_text():
    hostile = "</title></script><script>alert(1)</script><b>__DATA__ __NOTE__ & \"'\\1"
    recording = made_recording(env_name=f"CartPole {hostile}")
    page = replay_page(recording, title=hostile, note=hostile)
    assert page.count("<script") == page.count("</script") == 2
    assert "<b>__" not in page
    assert data_of(page)["env"] == recording.env_name
    escaped = "&lt;/title&gt;&lt;/script&gt;&lt;script&gt;alert(1)&lt;/script&gt;&lt;b&gt;__DATA__"
    assert page.count(escaped) == 3, "the title twice, and the note"


def test_numbers_that_are_missing_are_null():
    recording = made_recording()
    recording.values[0, 0, 3] = np.nan
    recording.observations[0, 0, 4, 1] = np.inf
    episode = data_of(page_of(recording))["seeds"][0]["episodes"][0]
    for numbers, missing in ((episode["values"], 3), (episode["observations"][1], 4)):
        assert [i for i, number in enumerate(numbers) if number is None] == [missing]


def test_the_page_of_four_long_episodes_is_small():
    assert len(page_of(made_recording(length=500))) < 170_000


# The page in a browser

READER = Path(__file__).parents[2] / "data" / "reader.html"


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Opens a page without a window: ``browser(page, hash, *flags)`` gives its final DOM."""
    names = ("chromium", "chromium-browser", "google-chrome", "chrome")
    found = next(filter(None, map(shutil.which, names)), None)
    if not found:
        pytest.skip(f"there is no browser to open the page with: none of {', '.join(names)}")
    folder = tmp_path_factory.mktemp("browser")

    def run(page, address="", *flags):
        file = folder / "page.html"
        file.write_text(page, encoding="utf-8")
        command = [
            found, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
            f"--user-data-dir={folder / 'profile'}", "--virtual-time-budget=6000",
            "--window-size=900,1200", *flags, file.as_uri() + address,
        ]  # fmt: skip
        done = subprocess.run(command, capture_output=True, timeout=120, check=True)
        return done.stdout.decode()

    return run


in_a_browser = pytest.mark.slow("a browser")


def fields(dom):
    return dict(re.findall(r'<dd id="(\w+)">(.*?)</dd>', dom))


@in_a_browser
def test_the_page_opens_at_the_step_of_its_address(browser):
    recording = made_recording()
    shown = fields(browser(page_of(recording), "#seed=8&episode=1&step=12", "--dump-dom"))
    action = recording.actions[1, 1, 12]
    assert [shown[name] for name in ("step", "return", "ending")] == ["12 / 20", "12", "time limit"]
    name, percent = re.fullmatch(r"(\w+) \((.*) %\)", shown["action"]).groups()
    assert name == ("left", "right")[action]
    probability = probabilities_of(recording, (1, 1, 12))[action]
    assert float(percent) == pytest.approx(100 * probability, rel=5e-3)
    assert float(shown["value"]) == pytest.approx(recording.values[1, 1, 12], rel=1e-3)


@in_a_browser
@pytest.mark.parametrize("address", ["", "#seed=99&episode=-1&step=oops", "#step=-4", "#episode=7"])
def test_a_bad_address_opens_the_beginning(browser, address):
    shown = fields(browser(page_of(made_recording()), address, "--dump-dom"))
    assert (shown["step"], shown["return"]) == ("0 / 20", "0")


@in_a_browser
def test_the_controls_do_what_they_say(browser):
    page = page_of(made_recording()).replace("</body>", READER.read_text() + "</body>")
    dom = browser(page, "#step=12", "--dump-dom")
    log = [line.split("|") for line in re.search(r'id="log">(.*?)</pre>', dom, re.S)[1].split("\n")]
    during = log.pop(-3)
    assert during[0] == "while playing"
    assert 5 <= int(during[1].split()[0]) <= 15, "10 steps in 0.2 seconds"
    assert [line[:2] for line in log[:-1]] == [
        ["opened", "12 / 20"], ["right", "13 / 20"], ["ten left", "3 / 20"], ["end", "20 / 20"],
        ["back", "19 / 20"], ["scrub", "4 / 20"], ["seed", "0 / 19"], ["episode", "0 / 20"],
        ["chart", "10 / 20"], ["Pause", "0 / 20"], ["Play", "20 / 20"],
    ]  # fmt: skip
    assert log[3][1:] == ["20 / 20", "20", "–", "–", "time limit"]
    assert log[6][-1] == "pole fell"


@in_a_browser
@pytest.mark.parametrize("other", OTHER.values(), ids=OTHER)
def test_the_page_of_another_environment_runs(browser, other):
    recording = made_recording(**other, env_name="Other-v0")
    recording.values[:] = np.nan
    shown = fields(browser(page_of(recording), "#step=5", "--dump-dom"))
    assert (shown["step"], shown["value"]) == ("5 / 20", "–")
    assert shown["action"].startswith(f"action {recording.actions[0, 0, 5]} (")


@in_a_browser
def test_the_page_is_drawn(browser, tmp_path):
    page, pictures = page_of(made_recording()), []
    for flags in ((), ("--force-dark-mode",)):
        file = tmp_path / "page.png"
        browser(page, "#step=5", f"--screenshot={file}", *flags)
        with Image.open(file) as image:
            pictures.append(np.asarray(image.convert("RGB")))
    for picture in pictures:
        assert len(np.unique(picture.reshape(-1, 3), axis=0)) > 200
        for color in [(0xD5, 0x5E, 0x00), (0x00, 0x9E, 0x73)]:
            assert (picture == color).all(axis=-1).sum() > 50, "the lines of the charts"
    light, dark = (picture[0, 0].mean() for picture in pictures)
    assert (light > 200, dark < 60) == (True, True)
