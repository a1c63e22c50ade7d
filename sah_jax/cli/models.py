"""Commands on base models: convert."""

import pathlib

from absl import flags

from sah_jax import errors
from sah_jax.cli import common


def convert(arguments: list[str]) -> None:
    """Writes a base model as an Orbax checkpoint, which loads faster and shard by shard.

    SOURCE is a folder, a shipped name or a hub id ORG/NAME[@REVISION].
    """
    values = flags.FlagValues()
    flags.DEFINE_string("out", None, "Folder to write.", flag_values=values)
    flags.DEFINE_string(
        "dtype", None, "What to store the weights in: float32 or bfloat16; default: as they are.",
        flag_values=values)
    flags.DEFINE_string("revision", None, "Branch, tag or commit of a hub id.", flag_values=values)
    (source,) = common.parse(convert, values, arguments, ["SOURCE"])
    if values.out is None:
        raise errors.UserError("--out is needed; see sah convert --help.")
    from sah_jax.models import convert as convert_lib

    console = common.console()
    say = lambda line: console.print(line, highlight=False, markup=False, soft_wrap=True)
    record = convert_lib.convert(
        source, pathlib.Path(values.out), dtype=values.dtype, revision=values.revision, say=say)
    parity = record["parity"]
    if parity["compared"]:
        say(f"against transformers on {parity['num_tokens']} tokens: largest difference of a logit "
            f"{parity['max_abs_logit_difference']:.3g}, largest KL {parity['kl_nats']:.3g} nats")
    else:
        say(f"not compared with transformers: {parity['reason']}")
    say(f"{values.out}: {record['num_params']:,} parameters in {record['dtype']}, base digest "
        f"{record['base_digest'][:12]}")
