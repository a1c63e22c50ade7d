"""Writes the report of a study, or of several pooled: figures, tables, a page, and data for programs.

Nothing is reported that the files do not bear out, see `sah_jax.reports.evidence`.
"""

import dataclasses
import json
import os
import pathlib
import types
from collections.abc import Callable, Mapping, Sequence

from sah_jax import errors
from sah_jax.complexity import frontier, lineages
from sah_jax.reports import doubts, evidence, exports, figures, html, latex, pages, tables
from sah_jax.studies import rows as rows_lib

REPORT_FOLDER = "report"

_FORMATS = ("png", "pdf", "svg")


@dataclasses.dataclass(frozen=True)
class Report:
    """What was written.

    Attributes:
      rows: all of the report.
      html: the page.
      png, pdf: the frontier.
      csv: C(T, s | M).
      doubts: about the rows, each a sentence, as the page says them.
      missing: of the figures that are left out, what the rows lack, by name.
    """

    rows: list[frontier.Row]
    html: pathlib.Path
    png: pathlib.Path
    pdf: pathlib.Path
    csv: pathlib.Path
    doubts: list[str]
    missing: dict[str, str]


def write_report(
    workdir: str | os.PathLike[str] | None, out: str | os.PathLike[str] | None = None, *,
    add: Sequence[str | os.PathLike[str]] = (),
    renamed: Mapping[str, str] = types.MappingProxyType({}),
    known: Sequence[lineages.Lineage] = lineages.KNOWN,
    names: Sequence[str] = figures.NAMES[:1], add_script_bits: bool = True,
    tell: Callable[[str], None] = lambda what: None,
) -> Report:
    """Writes the report of a study.

    In the folder: report.html; each figure as PNG, PDF and SVG; complexity, shares and reductions as CSV and
    LaTeX; frontier.json and derived.json. All are made before the first of them takes its place, so a
    failure leaves the report that was there.

    Args:
      workdir: the study's folder, which holds results.jsonl and points/; None for what is added alone.
      out: the folder to write to; WORKDIR/report if None.
      add: more files of rows, of studies or of other systems, see `evidence.read`.
      renamed: what models are called, see `evidence.read`.
      known: the lineages that models may be of; of one that is not `lineages.KNOWN` each model has rows, or
        is called "-".
      names: the figures, of `figures.NAMES`; one for which the rows have nothing is left out.
      add_script_bits: whether a length counts the script.
      tell: called with what is made next.

    Returns:
      Its rows and main files.

    Raises:
      UserError: if there are no results, a row and its files disagree, a model that is named has no row, or
        the report cannot be written; the sentence names the file or the model.
    """
    files = [pathlib.Path(path) for path in add]
    if workdir is not None:
        workdir = pathlib.Path(workdir)
        if not workdir.is_dir():
            raise errors.UserError(
                f"{workdir}: got no folder, expected the folder of a study; correct the path.")
        files.insert(0, workdir / rows_lib.RESULTS_NAME)
    if out is None and workdir is None:
        raise errors.UserError("got no folder to write to, expected one where there is no study; give --out.")
    tell("reading rows and programs")
    pool = evidence.read(files, renamed)
    rows = pool.rows
    if not rows:
        raise errors.UserError(
            f"{', '.join(map(str, files))}: got no rows, expected at least one point; run the study first.")
    given = [stage for lineage in known if lineage not in lineages.KNOWN for stage in lineage.stages]
    evidence.check_models(
        (stage for stage in given if stage != "-"), {row.model_name for row in rows}, "of a lineage")
    folder = workdir / REPORT_FOLDER if out is None else pathlib.Path(out)
    with pages.staged(folder, "the report") as making:
        drawn, missing = _draw(pool, making, names, known, add_script_bits, tell)
        tell("writing tables and the page")
        table = tables.complexity_table(rows, known=known, add_script_bits=add_script_bits)
        tables.write_csv(table, making / "complexity.csv")
        for name, text in latex.tables(rows, table, known, add_script_bits=add_script_bits).items():
            pages.write_text(making / f"{name}.tex", text)
        for name, data in (
                ("frontier", exports.frontiers(rows, add_script_bits=add_script_bits)),
                ("derived", exports.derivations(rows, known, add_script_bits=add_script_bits))):
            pages.write_text(making / f"{name}.json", json.dumps(data, indent=1))
        title = (folder if workdir is None else workdir).resolve().name
        images = {name: (making / f"{name}.svg").read_bytes() for name in drawn if name != "frontier"}
        pages.write_text(making / "report.html", html.render(
            title, pool.programs, table, reported_rows=pool.reported, figures=images, known=known,
            add_script_bits=add_script_bits))
    # What an earlier report drew and this one does not is not of these rows.
    for name in set(figures.NAMES) - set(drawn):
        for suffix in _FORMATS:
            (folder / f"{name}.{suffix}").unlink(missing_ok=True)
    return Report(
        rows, html=folder / "report.html", png=folder / "frontier.png", pdf=folder / "frontier.pdf",
        csv=folder / "complexity.csv", doubts=doubts.sentences(rows, add_script_bits=add_script_bits),
        missing=missing)


def _draw(
    pool: evidence.Pool, folder: pathlib.Path, names: Sequence[str],
    known: Sequence[lineages.Lineage], add_script_bits: bool, tell: Callable[[str], None],
) -> tuple[list[str], dict[str, str]]:
    """Draws what can be drawn of some figures; returns their names, and what is missing for the others."""
    drawn, missing = [], {}
    for number, name in enumerate(names, start=1):
        tell(f"drawing {name}, figure {number} of {len(names)}")
        try:
            figure = figures.draw(
                name, pool.rows, known=known, add_script_bits=add_script_bits, parameters=pool.parameters,
                widths=pool.widths)
        except figures.NothingToDraw as error:
            missing[name] = str(error)
            continue
        figures.save(figure, folder / name, _FORMATS)
        drawn.append(name)
    return drawn, missing
