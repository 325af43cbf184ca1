"""Learning methods, each built with :func:`a2c_jax.algorithms.learner.learner`."""
