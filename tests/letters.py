"""A task in the few characters of the tiny model, for tests that fit it in a second."""

import random

from sah_jax.tasks import base as task_lib


class Letters:
    """A letter and how often to write it."""

    name = "letters"
    stop = ("\n",)
    max_new_tokens = 8
    demonstration_separator = "\n"
    written_prompt = "write the letter so often.\na 3 # aaa\nb 2 # bb\n"

    def examples(self, split, num, seed=0):
        rng = random.Random(f"{split} {seed}")
        drawn = [(rng.choice("abcdefgh"), rng.randint(2, 5)) for _ in range(num)]
        return tuple(task_lib.Example(f"{one} {count} #", f" {one * count}", "") for one, count in drawn)
