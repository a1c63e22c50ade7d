"""Commands on texts: codelength, decode."""

import dataclasses
import json
import pathlib

from absl import flags

from sah_jax import errors
from sah_jax.cli import common


def codelength(arguments: list[str]) -> None:
    """Says how many bits texts cost under a model or program, token by token.

    SOURCE is a text file, a .jsonl file, - for standard input, or task:NAME[:SPLIT].
    """
    values = flags.FlagValues()
    common.define_model(values, "Base model.")
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
    (source,) = common.parse(codelength, values, arguments, ["SOURCE"])
    if values.model is None:
        raise errors.UserError("--model is needed; see sah codelength --help.")
    if values.emit and pathlib.Path(values.emit).suffix in ("", ".json"):
        raise errors.UserError(
            f"--emit is {values.emit!r}, expected a file name such as texts.sah: a sidecar of the same name "
            "that ends in .json goes beside it.")
    if values.fast and (values.emit or values.verify):
        raise errors.UserError("--fast codes no file, so --emit and --verify cannot be had with it.")
    base, adapted = common.adapted(values)
    from sah_jax.reports import codelength as pages
    from sah_jax.studies import codelength as codelength_lib
    from sah_jax.studies import sidecar

    texts = codelength_lib.read_texts(source, values.field, values.num, values.seed)
    program, emitted = values.program or "", None
    if not values.fast:
        written, emitted = codelength_lib.emit(texts, base, adapted, values.batch_size)
        if values.emit:
            common.write_file(values.emit, written.data)
            record = codelength_lib.record(written, base, adapted)
            common.write_file(
                sidecar.path_for(pathlib.Path(values.emit)), json.dumps(record, indent=1).encode())
        if values.verify:
            emitted = dataclasses.replace(
                emitted, verdict=codelength_lib.comes_back(written.data, texts, base, program))
    result = codelength_lib.measure(source, texts, base, adapted, program, emitted)
    if values.out:
        pages.write(result, values.out)
    pages.print_summary(result, common.console())
    if emitted and emitted.verdict and not emitted.verdict.verified:
        raise errors.UserError(
            f"a fresh process did not decode the file to the texts that were coded: {emitted.verdict.reason}")


def decode(arguments: list[str]) -> None:
    """Prints the texts of a file that `sah codelength --emit` wrote, a JSON string a line."""
    values = flags.FlagValues()
    common.define_model(values, "Base model it was coded under.")
    flags.DEFINE_string("program", None, "Program it was coded under.", flag_values=values)
    flags.DEFINE_bool("digest", False, "Print the digest of the tokens instead.", flag_values=values)
    (target,) = common.parse(decode, values, arguments, ["FILE"])
    if values.model is None:
        raise errors.UserError("--model is needed; see sah decode --help.")
    from sah_jax.studies import fresh

    fresh.end_with_parent()
    base, decoded = common.decode_texts(pathlib.Path(target), values)
    from sah_jax.programs import texts

    found = decoded.texts
    for line in [texts.digest(found)] if values.digest else (json.dumps(base.decode(t)) for t in found):
        print(line)
