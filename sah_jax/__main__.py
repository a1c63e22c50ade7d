"""`python -m sah_jax`: the command line."""

from sah_jax import cli

cli.entry_point()
