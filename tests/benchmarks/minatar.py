"""Steps per second on MinAtar's Breakout with a convolution, beside rejax's and PureJaxRL's PPO.

    python tests/benchmarks/minatar.py --peer rejax=PYTHON purejaxrl=PYTHON

Their PPO makes one epoch of one minibatch. PureJaxRL's policy and value share the convolution, as
ours do; rejax's are two networks.
"""

import argparse

from bench import peer, positive, size
from bench_sides import Size, all_sides, measure_sides

SIZES = [Size(1, 8, 16), Size(64, 8, 16)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=size, nargs="+", metavar="S,N,T", default=SIZES)
    parser.add_argument("--rounds", type=positive, default=5)
    parser.add_argument("--seconds", type=float, default=4.0)
    parser.add_argument("--peer", type=peer, nargs="+", metavar="NAME=PYTHON", default=[])
    arguments = parser.parse_args()
    for each in arguments.sizes:
        opened = all_sides(each, "conv", arguments.peer)
        sides, failed = measure_sides(opened, each, arguments.rounds, arguments.seconds)
        for name, figures in sides.items():
            speed, ratio = figures["steps_per_second"], figures["ours_is_faster"]
            print(
                f"{each} {name}: {speed['median']:,.0f} steps/s; ours is "
                f"{ratio['median']:.2f} [{ratio['min']:.2f}, {ratio['max']:.2f}] times as fast"
            )
        for sentence in failed.values():
            print(f"{each} {sentence}")


if __name__ == "__main__":
    main()
