"""What commands share: their flags, the console, and programs decoded under their profile.

A command imports what needs JAX inside itself, after the numerics profile is set.
"""

import pathlib
import sys
from collections.abc import Callable, Sequence

from absl import flags

from sah_jax import errors, numerics


def parse(
    command: Callable, values: flags.FlagValues, arguments: list[str], names: Sequence[str]
) -> list[str]:
    """Parses a command's flags; returns the positional arguments that `names` lists, [NAME] if it is there.

    Raises:
      UserError: they are others, or a flag is wrong.
      SystemExit: after showing the help that was asked for.
    """
    name = command.__name__
    flags.DEFINE_bool("help", False, "Show this help.", flag_values=values)
    try:
        positional = values([f"sah {name}", *arguments])[1:]
    except Exception as error:  # config_flags runs the user's config, which may raise anything
        raise errors.UserError(f"{one_line(error)}; see sah {name} --help.") from error
    if values.help:
        print(f"sah {name} {' '.join(names)}\n{command.__doc__}\n{values.get_help()}")
        raise SystemExit(0)
    if not sum(name[0] != "[" for name in names) <= len(positional) <= len(names):
        raise errors.UserError(
            f"got the arguments {positional}, expected {' '.join(names) or 'flags only'}; "
            f"see sah {name} --help.")
    return positional


def define_model(values: flags.FlagValues, what: str) -> None:
    """Defines the flags that `load_base` here reads."""
    flags.DEFINE_string(
        "model", None, f"{what} A folder, a shipped name or a hub id ORG/NAME[@REVISION]; with "
        "#step0-seedN before training.", flag_values=values)
    flags.DEFINE_string(
        "dtype", "float32", "What the model is computed in, where no sidecar says it.", flag_values=values)
    flags.DEFINE_string(
        "mesh", "", "Devices the model is split over, such as data=2,fsdp=4; default: one, or what the "
        "sidecar says.", flag_values=values)
    flags.DEFINE_string(
        "decode_mesh", "", "What it is split over while texts are generated, such as tensor=8; default: "
        "the mesh, each device with whole weights but for `tensor`.", flag_values=values)
    flags.DEFINE_string(
        "remat", "none", "What training computes again: none, dots or full; as the sidecar says, if there "
        "is one.", flag_values=values)
    flags.DEFINE_string(
        "quantization", "", "How the weights are quantised: int8 or nf4; default: not, or as the sidecar "
        "says.", flag_values=values)


def load_base(values: flags.FlagValues, record=None):
    """Returns the base model that flags name, computed as they say, or as a sidecar does."""
    from sah_jax.models import base as base_lib

    given = record["profile"] if record else {name: values[name].value for name in numerics.COMPUTED}
    return base_lib.load_computed(values.model, {
        name: given.get(name) or values[name].default for name in numerics.COMPUTED})


def one_line(error: BaseException) -> str:
    """Says in one line what went wrong at the bottom of a chain of exceptions."""
    while error.__cause__ is not None:
        error = error.__cause__
    if isinstance(error, (KeyError, AttributeError)):
        return f"the config has no key {error.args[0]!s}".replace('"', "")
    return (" ".join(str(error).split()) or type(error).__name__).rstrip(".")


def console():
    """Returns the console; wide enough for the tables where the output is not a terminal."""
    import rich.console

    found = rich.console.Console()
    return found if found.is_terminal else rich.console.Console(width=120)


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


def decode_program(program: pathlib.Path, values: flags.FlagValues):
    """Returns base model, decoded program and sidecar, set to the program's numerics profile.

    Raises:
      UserError: the program is not for this model, or decodes to something else than it was
        written from; the sentence says how the numerics profile differs, if it does.
    """
    record = _prepare(program)
    from sah_jax.programs import codec
    from sah_jax.studies import sidecar

    base = load_base(values, record)
    decoded = _decode(program, base, record, lambda: codec.read(
        sidecar.read_program(program), base, str(program)), lambda found: (
            "adapted_digest", found.adapted.digest()))
    if record is None:
        print(f"{program}: has no sidecar, so a truncated or altered file may go unnoticed.",
              file=sys.stderr)
    return base, decoded, record


def decode_texts(path: pathlib.Path, values: flags.FlagValues):
    """Returns base model and decoded texts, set to the numerics profile of the file's sidecar.

    Raises:
      UserError: the file is not for this model and program, or decodes to something else than it
        was written from; the sentence says how the numerics profile differs, if it does.
    """
    record = _prepare(path)
    base, adapts = adapted(values, record)
    from sah_jax.programs import texts
    from sah_jax.studies import sidecar

    if record and record["family"] == sidecar.TEXTS and adapts.digest() != record["adapted_digest"]:
        raise errors.UserError(
            f"{path}: was coded under another program, or none, than {values.program or 'none'}; "
            "set --program to the one it was coded under.")
    return base, _decode(path, base, record, lambda: texts.read(
        sidecar.read_program(path), base, adapts, str(path)), lambda found: (
            "tokens_digest", texts.digest(found.texts)))


def decode_any(path: pathlib.Path, values: flags.FlagValues):
    """Returns base model and what a file decodes to, a program or texts."""
    _prepare(path)
    from sah_jax.programs import codec
    from sah_jax.studies import sidecar

    if codec.holds_texts(sidecar.read_program(path)):
        return decode_texts(path, values)
    return decode_program(path, values)[:2]


def _decode(path: pathlib.Path, base, record, read: Callable, digest_of: Callable):
    """Returns what `read` makes of a file, held against its sidecar where there is one."""
    if record and base.digest != record["base"]["digest"]:
        raise errors.UserError(
            f"{path}: was made for the base model {record['base']['name']} with digest "
            f"{record['base']['digest'][:12]}, {base.source} has {base.digest[:12]}; "
            "give the model it was made for.")
    try:
        found = read()
        if record:
            key, digest = digest_of(found)
            if digest != record[key]:
                raise errors.UserError(
                    f"{path}: decodes to something else than it was written from; "
                    "read it in the environment it was made in.")
    except errors.UserError as error:
        if record is None:
            raise
        raise errors.UserError(numerics.explain(str(error), record["profile"], base.profile())) from error
    return found


def adapted(values: flags.FlagValues, record=None):
    """Returns base model and what --program, if there is one, adapts it to.

    `record` is the sidecar of a file of texts that is to be decoded with them.
    """
    if values.program is not None:
        base, decoded, _ = decode_program(pathlib.Path(values.program), values)
        return base, decoded.adapted
    from sah_jax.programs import base as family_lib

    return load_base(values, record), family_lib.Adapted({})


def write_file(path: str | pathlib.Path, data: bytes) -> None:
    """Writes a file that the user named.

    Raises:
      UserError: it cannot be written.
    """
    try:
        pathlib.Path(path).write_bytes(data)
    except OSError as error:
        raise errors.UserError(
            f"{path}: cannot be written ({error.strerror}); choose another path.") from error
