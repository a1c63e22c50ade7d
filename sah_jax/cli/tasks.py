"""Commands on tasks: data."""

from absl import flags

from sah_jax.cli import common


def data(arguments: list[str]) -> None:
    """Prepares a data set, from local files or from where it is published, and says what it holds.

    NAME is esnli, flores, gsm8k, ifeval, ifeval_train, metamathqa or nllb.
    """
    values = flags.FlagValues()
    flags.DEFINE_string(
        "manual_dir", None, "Folder with the source's files; default: $SAH_MANUAL_DIR, else download.",
        flag_values=values)
    flags.DEFINE_string(
        "data_dir", None, "Folder for prepared data sets; default: $SAH_DATA_DIR, else where TFDS has them.",
        flag_values=values)
    (name,) = common.parse(data, values, arguments, ["NAME"])
    from sah_jax.tasks import datasets

    say = lambda line: print(line, flush=True)
    folder = datasets.prepare(name, values.data_dir, values.manual_dir, say)
    for split, rows in datasets.splits(folder).items():
        say(f"{split}: {len(rows):,} rows, {rows.num_bytes:,} bytes, {rows.left_out:,} left out")
    say(f"{name}: {folder}")
