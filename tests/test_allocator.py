"""A process that imports the package uses freed memory again."""

import subprocess
import sys

import pytest

# Bytes taken from the C library and freed again, larger than what it gives back by itself.
CHILD = """
import ctypes, os, resource
import sah_jax
libc = ctypes.CDLL(None)
libc.malloc.restype, libc.malloc.argtypes = ctypes.c_void_p, [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    place = libc.malloc(100 << 20)
    ctypes.memset(place, 1, 100 << 20)
    libc.free(place)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(faults(), faults())
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="of the GNU C library on Linux")
@pytest.mark.parametrize("chosen", [{}, {"MALLOC_TRIM_THRESHOLD_": "131072"}])
def test_freed_memory_is_used_again_unless_the_user_chose_otherwise(child_environment, chosen):
    done = subprocess.run([sys.executable, "-c", CHILD], env={**child_environment, **chosen},
                          capture_output=True, text=True, check=True)
    first, second = map(int, done.stdout.split())
    assert first > 50  # pages of 4 kB or 2 MB
    assert (second < first / 10) == (not chosen)
