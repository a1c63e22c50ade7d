"""sah_jax measures how many bits it takes to adapt a language model to a task.

Importing the package pins the numerics that can be pinned (`sah_jax.numerics`): program
files coded by a model decode only under the float results they were coded with. It also makes the
process keep freed memory for its next use (`sah_jax.allocator`).
"""

from sah_jax import allocator, numerics
from sah_jax.version import __version__

__all__ = ["__version__"]

allocator.keep_freed_memory()
numerics.pin_environment()
