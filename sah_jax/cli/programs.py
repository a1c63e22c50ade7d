"""Commands on one program or two: inspect, run, compare."""

import pathlib
import sys

from absl import flags

from sah_jax import errors
from sah_jax.cli import common


def inspect(arguments: list[str]) -> None:
    """Prints the ledger of a program file, or of a file of texts: where each of its bits went."""
    from sah_jax.reports import inspection
    from sah_jax.studies import sidecar

    values = flags.FlagValues()
    common.define_model(values, "Base model to decode with; without one the sidecar's ledger is shown.")
    flags.DEFINE_enum(
        "by", sidecar.VIEWS[0], sidecar.VIEWS, "What the bits are added up by.", flag_values=values)
    flags.DEFINE_string(
        "program", None, "Program that a file of texts was coded under.", flag_values=values)
    for kind in ("json", "csv"):
        flags.DEFINE_string(
            kind, None, f"Write {kind.upper()} here (-: standard output); no table then.", flag_values=values)
    (target,) = common.parse(inspect, values, arguments, ["PROGRAM"])
    if values.json == values.csv == "-":
        raise errors.UserError("--json and --csv are both -; give one of them a file.")
    program = pathlib.Path(target)
    if values.model is None:
        found = inspection.from_sidecar(program, values.by)
    else:
        base, decoded = common.decode_any(program, values)
        found = inspection.from_program(decoded, values.by, base, program)
    for kind, text in inspection.written(found, program, values.by).items():
        if values[kind].value == "-":
            sys.stdout.write(text)
        elif values[kind].value is not None:
            common.write_file(values[kind].value, text.encode())
    if values.json is None and values.csv is None:
        inspection.print_parts(found, values.by, common.console())


def run(arguments: list[str]) -> None:
    """Answers prompts from standard input, one a line, with a program; \\n in a line is a line break."""
    values = flags.FlagValues()
    common.define_model(values, "Base model.")
    flags.DEFINE_integer("max_new_tokens", 80, "Longest answer.", flag_values=values)
    flags.DEFINE_multi_string(
        "stop", None, "Stop string (default: the task's); may be repeated.", flag_values=values)
    (target,) = common.parse(run, values, arguments, ["PROGRAM"])
    if values.model is None:
        raise errors.UserError("--model is needed; see sah run --help.")
    base, decoded, record = common.decode_program(pathlib.Path(target), values)
    from sah_jax.models import generate
    from sah_jax.tasks import registry

    stop = values.stop or (registry.get_task(record["scores"]["task"]).stop if record else ())
    sys.stdin.reconfigure(errors="replace")
    lines = (line.rstrip("\n").replace("\\n", "\n") for line in sys.stdin)
    for answer in generate.stream(
            base, decoded.adapted.variables(base), (line for line in lines if line),
            context=decoded.adapted.context, max_new_tokens=values.max_new_tokens, stop=stop):
        print(answer.strip(), flush=True)


def compare(arguments: list[str]) -> None:
    """Says whether one program of a study scores better than another, item by item of the test split."""
    first, second = common.parse(compare, flags.FlagValues(), arguments, ["PROGRAM", "OTHER"])
    from sah_jax.complexity import pairs

    task, found = pairs.compare(pathlib.Path(first), pathlib.Path(second))
    print(f"{task}: {found.value:+.4f} ± {found.stderr:.4f} over {found.num:,} test items, "
          f"p = {found.p_value:.3g} (paired, approximate randomisation)")
