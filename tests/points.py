"""A point of a study made by itself."""

from sah_jax.programs import codec
from sah_jax.studies import point


def make(config, base, one, name, folder, report=codec.silent, plan=None):
    """Fits, writes and scores a program, as a study does; returns its row, not verified yet."""
    (fitted,) = point.fit(config, base, [one], report, plan)
    return point.finish(config, base, one, name, folder, fitted, report)
