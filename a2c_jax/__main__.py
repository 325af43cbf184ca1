"""``python -m a2c_jax``: the command line."""

import sys

from a2c_jax.experiment.cli.main import main

sys.exit(main())
