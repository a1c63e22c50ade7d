"""The paper's data sets as TFDS builders, one file each, and how they are prepared and read.

TFDS is imported when it is first needed, TensorFlow never.
"""

from sah_jax.tasks.datasets.preparing import names, prepare
from sah_jax.tasks.datasets.reading import loader, Rows, rows, shuffled, splits

__all__ = ["loader", "names", "prepare", "Rows", "rows", "shuffled", "splits"]
