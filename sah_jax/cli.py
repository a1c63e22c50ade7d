"""The front door: `sah COMMAND ...`.

A command is one function; its flags are absl flags of its own. What the user got wrong is
told in one sentence with exit code 2 and no traceback.
"""

import dataclasses
import json
import os
import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import flags
from ml_collections import config_flags

from sah_jax import errors, numerics

USER_ERROR = 2
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


def _parse(command: str, values: flags.FlagValues, arguments: list[str], names: Sequence[str]) -> list[str]:
    """Parses a command's flags; returns exactly the positional arguments that `names` lists."""
    flags.DEFINE_bool("help", False, "Show this help.", flag_values=values)
    try:
        positional = values([f"sah {command}", *arguments])[1:]
    except Exception as error:  # config_flags runs the user's config, which may raise anything
        raise errors.UserError(f"{_one_line(error)}; see sah {command} --help.") from error
    if values.help:
        print(f"sah {command} {' '.join(names)}\n{COMMANDS[command].__doc__}\n{values.get_help()}")
        raise SystemExit(0)
    if len(positional) != len(names):
        raise errors.UserError(
            f"got the arguments {positional}, expected {' '.join(names) or 'flags only'}; "
            f"see sah {command} --help.")
    return positional


def _define_model(values: flags.FlagValues, what: str) -> None:
    flags.DEFINE_string("model", None, what, flag_values=values)
    flags.DEFINE_string(
        "dtype", "float32", "What the model is computed in, where no sidecar says it.", flag_values=values)


def _one_line(error: BaseException) -> str:
    """Says in one line what went wrong at the bottom of a chain of exceptions."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, (KeyError, AttributeError)):
        return f"the config has no key {error.args[0]!s}".replace('"', "")
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def _console():
    """Returns the console; wide enough for the tables where the output is not a terminal."""
    import rich.console

    console = rich.console.Console()
    return console if console.is_terminal else rich.console.Console(width=120)


def _prepare(program: pathlib.Path):
    """Returns a program's sidecar (or None), with this process set to its numerics profile.

    Must run before JAX starts.
    """
    from sah_jax.studies import sidecar

    record = sidecar.read(program)
    if record:
        try:
            numerics.set_process(record["profile"])
        except errors.UserError as error:
            raise errors.UserError(f"{sidecar.path_for(program)}: {error}") from error
    return record


def _decode(program: pathlib.Path, model: str, dtype: str):
    """Returns base model, decoded program and sidecar, set to the program's numerics profile.

    Raises:
      UserError: the program is not for this model, or decodes to something else than it was
        written from; the sentence says how the numerics profile differs, if it does.
    """
    record = _prepare(program)
    from sah_jax.models import base as base_lib
    from sah_jax.programs import codec
    from sah_jax.studies import sidecar

    base = base_lib.load_base(model, record["base"]["dtype"] if record else dtype)
    if record and base.digest != record["base"]["digest"]:
        raise errors.UserError(
            f"{program}: was made for the base model {record['base']['name']} with digest "
            f"{record['base']['digest'][:12]}, {model} has {base.digest[:12]}; "
            "give the model it was made for.")
    try:
        decoded = codec.read(sidecar.read_program(program), base, str(program))
        if record and decoded.adapted.digest() != record["adapted_digest"]:
            raise errors.UserError(
                f"{program}: decodes to another model than it was written from; "
                "read it in the environment it was made in.")
    except errors.UserError as error:
        if record is None:
            raise
        raise errors.UserError(numerics.explain(
            str(error), record["profile"], numerics.profile(base.dtype))) from error
    if record is None:
        print(f"{program}: has no sidecar, so a truncated or altered file may go unnoticed.",
              file=sys.stderr)
    return base, decoded, record


def study(arguments: list[str]) -> None:
    """Runs a study: every point of a config is fitted, written, scored and verified."""
    values = flags.FlagValues()
    config_flags.DEFINE_config_file("config", None, "The study, such as configs/demo.py.", flag_values=values)
    flags.DEFINE_string("workdir", None, "Folder for results.jsonl and the points.", flag_values=values)
    flags.DEFINE_bool("report", True, "Write the report when the study is finished.", flag_values=values)
    _parse("study", values, arguments, [])
    if values.config is None or values.workdir is None:
        raise errors.UserError("--config and --workdir are both needed; see sah study --help.")
    from sah_jax.studies import grid, runner

    console = _console()
    try:
        given = values.config.to_dict()
    except Exception as error:  # a config that failed to load says so when it is used
        raise errors.UserError(f"--config: {_one_line(error)}; correct the config.") from error
    workdir = pathlib.Path(values.workdir)
    config = grid.parse_config(given)
    try:
        runner.run(config, workdir, console)
    finally:
        # Also where some points failed: the others are there.
        if values.report and sys.exc_info()[0] in (None, errors.UserError) and (
                workdir / runner.RESULTS_NAME).is_file():
            _report(values.workdir, console, script_bits=False)


def report(arguments: list[str]) -> None:
    """Writes figure, table and HTML page of a study's folder, and prints the tables."""
    values = flags.FlagValues()
    flags.DEFINE_bool(
        "script_bits", False, "Add the sizes of the reference's scripts to the lengths.", flag_values=values)
    (workdir,) = _parse("report", values, arguments, ["WORKDIR"])
    _report(workdir, _console(), values.script_bits)


def _report(workdir: str, console, script_bits: bool) -> None:
    from sah_jax.reports import report as report_lib
    from sah_jax.reports import tables
    from sah_jax.studies import rows, runner

    paths = report_lib.write_report(workdir, add_script_bits=script_bits)
    found = rows.read_rows(pathlib.Path(workdir) / runner.RESULTS_NAME)
    tables.print_results(found, console, add_script_bits=script_bits)
    tables.print_complexity(found, console, add_script_bits=script_bits)
    console.print(f"report: {paths.html.resolve()}", soft_wrap=True, highlight=False)


def verify(arguments: list[str]) -> None:
    """Rebuilds programs in fresh processes and compares digest, length, ledger and score."""
    values = flags.FlagValues()
    flags.DEFINE_string(
        "model", None, "Base model; default: where the sidecar says it was.", flag_values=values)
    (target,) = _parse("verify", values, arguments, ["WORKDIR_OR_PROGRAM"])
    from sah_jax.studies import rows, runner, sidecar

    path = pathlib.Path(target)
    programs, row_of = [path], {}
    if path.is_dir():
        programs = sorted(path.glob(f"{runner.POINTS_FOLDER}/*/{sidecar.PROGRAM_NAME}"))
        if not programs:
            raise errors.UserError(
                f"{path}: holds no points/*/{sidecar.PROGRAM_NAME}; give a study's workdir or a program.")
        row_of = {path / row.program: row for row in rows.read_rows(path / runner.RESULTS_NAME)}
    refuted = []
    for program in sorted({*programs, *row_of}):
        verdict = _verdict(program, row_of.get(program), values.model)
        print(f"{program}: {'verified' if verdict.verified else verdict.reason}", flush=True)
        refuted += [] if verdict.verified else [f"{program}: {verdict.reason}"]
    if refuted:
        raise errors.UserError(f"{len(refuted)} programs were not verified, the first is {refuted[0]}")


def _verdict(program: pathlib.Path, row, model: str | None):
    """Returns the verdict on a program and, where there is one, its row."""
    from sah_jax.studies import sidecar, verification

    try:
        record = sidecar.read(program)
        source = model or (record["base"]["source"] if record else "")
    except errors.UserError as error:
        return verification.Verdict(False, str(error))
    verdict = verification.verify(source, program)
    said = verification.row_difference(row, record) if row and verdict.verified else ""
    return verification.Verdict(False, said) if said else verdict


def rebuild(arguments: list[str]) -> None:
    """Decodes one program, scores it and prints JSON; what `sah verify` runs in a fresh process."""
    values = flags.FlagValues()
    _define_model(values, "Base model.")
    flags.DEFINE_string("task", None, "Task to score.", flag_values=values)
    flags.DEFINE_multi_string(
        "score", ["test:64"], "Split and number of items to score; may be repeated.", flag_values=values)
    (program,) = _parse("rebuild", values, arguments, ["PROGRAM"])
    if values.model is None or values.task is None:
        raise errors.UserError("--model and --task are both needed; see sah rebuild --help.")
    from sah_jax.studies import rebuild as rebuild_lib

    splits = {}
    for given in values.score:
        split, _, num = given.partition(":")
        if not num.isdigit():
            raise errors.UserError(f"--score is {given!r}, expected SPLIT:NUMBER, such as test:64.")
        splits[split] = int(num)
    print(json.dumps(rebuild_lib.rebuild(
        values.model, pathlib.Path(program), values.dtype, values.task, splits)))


def inspect(arguments: list[str]) -> None:
    """Prints the ledger of a program file: where each of its bits went."""
    values = flags.FlagValues()
    _define_model(values, "Base model to decode with; without one the sidecar's ledger is shown.")
    (target,) = _parse("inspect", values, arguments, ["PROGRAM"])
    from sah_jax.reports import tables
    from sah_jax.studies import sidecar

    program = pathlib.Path(target)
    if values.model is not None:
        _, decoded, _ = _decode(program, values.model, values.dtype)
        entries = [entry._asdict() for entry in decoded.ledger]
    elif record := sidecar.read(program):
        entries = record["ledger"]
    else:
        raise errors.UserError(f"{program}: has no sidecar; give --model to decode it.")
    tables.print_ledger(entries, 8 * len(sidecar.read_program(program)), _console())


def run(arguments: list[str]) -> None:
    """Answers prompts from standard input, one a line, with a program; \\n in a line is a line break."""
    values = flags.FlagValues()
    _define_model(values, "Base model.")
    flags.DEFINE_integer("max_new_tokens", 80, "Longest answer.", flag_values=values)
    flags.DEFINE_multi_string(
        "stop", None, "Stop string (default: the task's); may be repeated.", flag_values=values)
    (target,) = _parse("run", values, arguments, ["PROGRAM"])
    if values.model is None:
        raise errors.UserError("--model is needed; see sah run --help.")
    base, decoded, record = _decode(pathlib.Path(target), values.model, values.dtype)
    from sah_jax.models import generate
    from sah_jax.tasks import registry

    stop = values.stop or (registry.get_task(record["scores"]["task"]).stop if record else ())
    sys.stdin.reconfigure(errors="replace")
    lines = (line.rstrip("\n").replace("\\n", "\n") for line in sys.stdin)
    for answer in generate.stream(
            base, decoded.adapted.variables(base), (line for line in lines if line),
            context=decoded.adapted.context, max_new_tokens=values.max_new_tokens, stop=stop):
        print(answer.strip(), flush=True)


def codelength(arguments: list[str]) -> None:
    """Says how many bits texts cost under a model or program, token by token.

    SOURCE is a text file, a .jsonl file, - for standard input, or task:NAME[:SPLIT].
    """
    values = flags.FlagValues()
    _define_model(values, "Base model.")
    flags.DEFINE_string("program", None, "Program that adapts the model.", flag_values=values)
    flags.DEFINE_string(
        "field", "text", "Key of the text in a .jsonl line; a+b joins two.", flag_values=values)
    flags.DEFINE_integer(
        "num", None, "At most so many texts (of a task: 64 unless said).", lower_bound=1, flag_values=values)
    flags.DEFINE_integer("seed", 0, "Seed of a task's examples.", flag_values=values)
    flags.DEFINE_bool("fast", False, "No file is coded: ideal and quantised bits only.", flag_values=values)
    flags.DEFINE_string("emit", None, "Where to write the file of all texts.", flag_values=values)
    flags.DEFINE_bool("verify", False, "Have a fresh process decode the file.", flag_values=values)
    flags.DEFINE_integer("batch_size", 8, "Rows of the file coded at a time.", flag_values=values)
    flags.DEFINE_string("out", None, "Folder for JSON, CSV and the HTML page.", flag_values=values)
    (source,) = _parse("codelength", values, arguments, ["SOURCE"])
    if values.model is None:
        raise errors.UserError("--model is needed; see sah codelength --help.")
    if values.fast and (values.emit or values.verify):
        raise errors.UserError("--fast codes no file, so --emit and --verify cannot be had with it.")
    base, adapted = _adapted(values.program, values.model, values.dtype)
    from sah_jax.reports import codelength as pages
    from sah_jax.studies import codelength as codelength_lib

    texts = codelength_lib.read_texts(source, values.field, values.num, values.seed)
    program, emitted = values.program or "", None
    if not values.fast:
        data, emitted = codelength_lib.emit(texts, base, adapted, values.batch_size)
        if values.emit:
            _write(values.emit, data)
        if values.verify:
            emitted = dataclasses.replace(
                emitted, verified=codelength_lib.comes_back(data, texts, base, program))
    result = codelength_lib.measure(source, texts, base, adapted, program, emitted)
    if values.out:
        pages.write(result, values.out)
    pages.print_summary(result, _console())
    if emitted and emitted.verified is False:
        raise errors.UserError("a fresh process did not decode the file to the texts that were coded.")


def decode(arguments: list[str]) -> None:
    """Prints the texts of a file that `sah codelength --emit` wrote, a JSON string a line."""
    values = flags.FlagValues()
    _define_model(values, "Base model it was coded under.")
    flags.DEFINE_string("program", None, "Program it was coded under.", flag_values=values)
    flags.DEFINE_bool("digest", False, "Print the digest of the tokens instead.", flag_values=values)
    (target,) = _parse("decode", values, arguments, ["FILE"])
    if values.model is None:
        raise errors.UserError("--model is needed; see sah decode --help.")
    base, adapted = _adapted(values.program, values.model, values.dtype)
    from sah_jax.programs import texts
    from sah_jax.studies import sidecar

    found = texts.read(sidecar.read_program(pathlib.Path(target)), base, adapted, target).texts
    for line in [texts.digest(found)] if values.digest else (json.dumps(base.decode(t)) for t in found):
        print(line)


def _adapted(program: str | None, model: str, dtype: str):
    """Returns base model and what a program, if there is one, adapts it to."""
    if program is not None:
        base, decoded, _ = _decode(pathlib.Path(program), model, dtype)
        return base, decoded.adapted
    from sah_jax.models import base as base_lib
    from sah_jax.programs import base as family_lib

    return base_lib.load_base(model, dtype), family_lib.Adapted({})


def _write(path: str, data: bytes) -> None:
    try:
        pathlib.Path(path).write_bytes(data)
    except OSError as error:
        raise errors.UserError(
            f"{path}: cannot be written ({error.strerror}); choose another path.") from error


COMMANDS: dict[str, Callable[[list[str]], None]] = {
    "study": study, "verify": verify, "report": report, "inspect": inspect, "run": run,
    "codelength": codelength, "decode": decode, "rebuild": rebuild}
