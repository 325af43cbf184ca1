"""Learning methods, each a few lines over :func:`a2c_jax.algorithms.learner.learner`."""
