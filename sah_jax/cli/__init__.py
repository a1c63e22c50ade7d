"""The front door: `sah COMMAND ...`.

A command is one function; its flags are absl flags of its own. What the user got wrong is
told in one sentence with exit code 2 and no traceback.
"""

import os
import sys
from collections.abc import Callable, Sequence

from sah_jax import errors
from sah_jax.cli import models, plans, programs, search, studies, study, tasks, texts

USER_ERROR = errors.EXIT_CODE
INTERRUPTED = 130


def main(argv: Sequence[str]) -> int:
    """Runs a command; returns the exit code."""
    name, arguments = (argv[0], list(argv[1:])) if argv else ("help", [])
    try:
        if name in ("help", "--help", "-h"):
            print(_usage())
            return 0
        if name not in COMMANDS:
            raise errors.UserError(
                f"{name!r} is not a command of sah; choose one of {', '.join(COMMANDS)}.")
        COMMANDS[name](arguments)
    except errors.UserError as error:
        print(f"sah {name}: {error}", file=sys.stderr)
        return USER_ERROR
    except BrokenPipeError:
        # The reader of our output has seen enough; Python would complain once more at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        print(f"sah {name}: interrupted; the same command goes on from here.", file=sys.stderr)
        return INTERRUPTED
    return 0


def entry_point() -> None:
    """The `sah` script."""
    sys.exit(main(sys.argv[1:]))


def _usage() -> str:
    lines = ["sah_jax measures how many bits it takes to adapt a language model to a task.", ""]
    lines += [f"  sah {name:10} {command.__doc__.splitlines()[0]}" for name, command in COMMANDS.items()]
    return "\n".join([*lines, "", "sah COMMAND --help lists a command's flags."])


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "study": study.study, "search": search.search, "status": studies.status, "verify": studies.verify,
    "report": studies.report, "inspect": programs.inspect, "run": programs.run,
    "compare": programs.compare, "codelength": texts.codelength, "decode": texts.decode,
    "convert": models.convert, "plan": plans.plan, "data": tasks.data, "score": tasks.score,
    "sample": tasks.sample, "lm_eval": tasks.lm_eval, "rebuild": studies.rebuild}
