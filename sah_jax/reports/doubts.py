"""What a reader has to know before believing a report: a sentence for each doubt about its rows."""

from collections.abc import Sequence

from sah_jax.complexity import frontier
from sah_jax.reports import style

Row = frontier.Row


def sentences(rows: Sequence[Row], *, add_script_bits: bool = True) -> list[str]:
    """Returns the doubts about the rows of a report, each as a sentence; none where there are none.

    Args:
      rows: the points, ours and those that other systems report.
      add_script_bits: whether a length counts the script.
    """
    ours = [row for row in rows if not row.reported]
    said = []
    if unverified := sum(not row.verified for row in ours):
        said.append(
            f"{unverified} of {len(ours)} points are not verified: no fresh process has rebuilt "
            "the adapted model from the file to the same score. They are drawn hollow and count "
            "nowhere.")
    if on_test := sum(row.selection_split == "test" for row in ours):
        said.append(
            f"{on_test} of {len(ours)} points were selected on the test split itself, so their "
            "test scores are optimistic.")
    if num_reported := len(rows) - len(ours):
        said.append(
            f"{num_reported} of {len(rows)} points are reported by another system, without "
            "files: their lengths and scores are taken at their word, and they were selected on the test "
            "split. They count, and are drawn half filled.")
    said += _without_bits(rows, add_script_bits)
    for model in dict.fromkeys(row.model_name for row in ours):
        bases = {row.base_digest for row in ours if row.model_name == model}
        if len(bases) > 1:
            said.append(
                f"The rows of {model} name {len(bases)} different base models, so they are not "
                "programs for one M and should be separate studies.")
    for (model, task), own in frontier.group_cells(row for row in ours if row.counts).items():
        if differing := _other_items(own):
            said.append(
                f"The rows of {model} on {task} compete in one frontier though they were scored on other "
                f"items ({'; '.join(differing)}): report them apart, or run the points again on the same.")
    return said


def _without_bits(rows: Sequence[Row], add_script_bits: bool) -> list[str]:
    """Says which reported programs have no bits though their family codes something."""
    found = [row for row in rows if row.reported and not row.bits and row.experiment_name != "baseline"]
    if not found:
        return []
    front = set(map(id, frontier.pareto(rows, add_script_bits=add_script_bits)))
    on = [row for row in found if id(row) in front]
    families = sorted({style.family_style(row.experiment_name).label for row in found})
    places = dict.fromkeys(f"{row.model_name} on {row.dataset_name}" for row in on)
    where = f"the frontier of {', '.join(places)} holds {len(on)} of them" if on else "no frontier holds one"
    return [
        f"{len(found)} reported points of {', '.join(families)} have 0 bits, though such programs code "
        f"something: their lengths were counted wrongly where they are reported; {where}."]


def _other_items(rows: Sequence[Row]) -> list[str]:
    """Returns in what the items differ that the rows of one cell were scored on."""
    return [f"{what} {' and '.join(values)}" for what, values in (
        ("data", sorted({row.task_digest[:12] for row in rows})),
        ("selection on the split", sorted({row.selection_split for row in rows})),
        ("numbers of test items", _numbers(row.num_scored for row in rows)),
        ("numbers of selection items", _numbers(row.selection_num_scored for row in rows)),
    ) if len(values) > 1]


def _numbers(found) -> list[str]:
    return list(map(str, sorted(set(found))))
