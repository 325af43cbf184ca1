"""What ``bench`` is told, and the plan that it comes to."""

import dataclasses
from pathlib import Path
from typing import Literal, NamedTuple, get_args

from a2c_jax import checks

NetworkName = Literal["article", "default"]

YARDSTICKS = Path(__file__).parent / "yardsticks"
PEERS = {
    "rejax": "rejax_ppo.py",
    "purejaxrl": "purejaxrl_ppo.py",
    "stable-baselines3": "stable_baselines3_a2c.py",
    "article": "article_torch.py",
}
"""The script of each peer; its docstring tells how to make its environment."""


@dataclasses.dataclass(frozen=True)
class BenchConfig:
    """Measures speed, memory and compiling here, beside other programs, taking turns.

    Attributes:
        sizes: each S,N,T: seeds, environments of a seed, steps of a rollout.
        network: one hidden layer of 256 ReLU units, as in the article, or two of 64 tanh units,
            as in the preset default.
        rounds: how often each program runs, in turn with the others.
        seconds: that one of these runs takes, about; making the first states is part of it.
        peer: programs to compare with, each NAME=PYTHON: rejax, purejaxrl, stable-baselines3
            or article, and the interpreter of an environment that has it.
        purejaxrl: the folder with ppo.py in a checkout of PureJaxRL.
        scaling: measure the cost of a seed and the memory for --scaling-seeds too.
        scaling_seeds: numbers of seeds, of the environments and steps of the first size.
        startup: measure the time from launching training to its first results too.
        solve: measure the time in which CartPole-v1 is solved too: by the preset default here, and
            by Stable-Baselines3 with the settings of the preset general, in twice as many steps.
        name: of the new folder under runs/.
        out: the folder for bench.json, wherever it is.
    """

    sizes: tuple[str, ...] = ("64,8,16", "1,8,16", "1,64,16", "1,2048,16")
    network: NetworkName = "article"
    rounds: int = 7
    seconds: float = 2.0
    peer: tuple[str, ...] = ()
    purejaxrl: Path | None = None
    scaling: bool = False
    scaling_seeds: tuple[int, ...] = (1, 4, 16, 64, 256, 1024, 4096)
    startup: bool = False
    solve: bool = False
    name: str | None = None
    out: Path | None = None


class Size(NamedTuple):
    """How much is trained at a time."""

    num_seeds: int
    num_envs: int
    num_steps: int

    def __str__(self) -> str:
        return f"{self.num_seeds},{self.num_envs},{self.num_steps}"

    @property
    def steps_per_update(self) -> int:
        """Environment steps of all seeds together."""
        return self.num_seeds * self.num_envs * self.num_steps


class Peer(NamedTuple):
    """Another program, and the interpreter that runs it.

    Attributes:
        source: a folder of its own modules, where it is no package.
    """

    name: str
    python: str
    script: Path
    source: str | None


class Plan(NamedTuple):
    """A configuration that has been checked; see :class:`BenchConfig`."""

    sizes: tuple[Size, ...]
    network: NetworkName
    rounds: int
    seconds: float
    peers: tuple[Peer, ...]
    scaling_seeds: tuple[int, ...]
    startup: bool
    solve: bool


def make_plan(config: BenchConfig) -> Plan:
    """Checks a configuration; starts nothing.

    Raises:
        ValueError: one sentence that names the setting, its value and the remedy.
    """
    if config.network not in get_args(NetworkName):
        raise ValueError(f"network is {config.network!r}; give article or default.")
    if not config.sizes:
        raise ValueError("sizes is empty; give at least one S,N,T such as 64,8,16.")
    checks.positive("seconds", config.seconds)
    numbers = tuple(checks.positive_int("scaling_seeds", each) for each in config.scaling_seeds)
    peers = tuple(_parse_peer(text, config) for text in config.peer)
    names = [peer.name for peer in peers]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(f"peer names {name} more than once; name each program once.")
    return Plan(
        sizes=tuple(parse_size(text) for text in config.sizes),
        network=config.network,
        rounds=checks.positive_int("rounds", config.rounds),
        seconds=config.seconds,
        peers=peers,
        scaling_seeds=numbers if config.scaling else (),
        startup=config.startup,
        solve=config.solve,
    )


def parse_size(text: str) -> Size:
    """Reads S,N,T.

    Raises:
        ValueError: if it is not three whole numbers of at least 1.
    """
    parts = [part.strip() for part in text.split(",")]
    if len(parts) != len(Size._fields) or not all(part.isdecimal() for part in parts):
        raise ValueError(
            f"sizes holds {text!r}; give three whole numbers S,N,T (seeds, environments, steps), "
            "such as 64,8,16."
        )
    return Size(*(checks.positive_int(f"a number in sizes {text!r}", int(part)) for part in parts))


def _parse_peer(text: str, config: BenchConfig) -> Peer:
    name, equals, python = text.partition("=")
    if not equals or not python or name not in PEERS:
        raise ValueError(
            f"peer holds {text!r}; give NAME=PYTHON, a name out of {', '.join(PEERS)} and an "
            "interpreter that has that program."
        )
    if name == "article" and config.network != "article":
        raise ValueError(
            f"peer names article, but network is {config.network!r}, which the article's loop "
            "does not have; leave that peer out, or give --network article."
        )
    source = None
    if name == "purejaxrl" and config.purejaxrl is not None:
        if not (config.purejaxrl / "ppo.py").is_file():
            raise ValueError(
                f"purejaxrl is {str(config.purejaxrl)!r}, where there is no ppo.py; give the "
                "folder purejaxrl in a checkout of PureJaxRL."
            )
        source = str(config.purejaxrl.resolve())
    return Peer(name, python, YARDSTICKS / PEERS[name], source)
