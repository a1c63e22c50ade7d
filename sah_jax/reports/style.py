"""How families and views look and are called: the colours of the reference's figures."""

import dataclasses
import math

INFERENCE_CONTROL = "Inference-Control"
PARAMETRIC = "Parametric"
DATA = "Data"
UNIFIED = "Unified"
OTHER = "Other"

VIEW_COLORS = {
    INFERENCE_CONTROL: "#D81B60",
    PARAMETRIC: "#FFC107",
    DATA: "#1E88E5",
    UNIFIED: "#00897B",
    OTHER: "#546E7A",
}

INK = "#263238"
MUTED = "#78909C"
GRID = "#ECEFF1"
# The other models' frontiers, behind the one a panel is about.
GHOST = "#CFD8DC"

# Of the band around a frontier, in the colours of the views.
BAND_OPACITY = 0.16

# The fields of a ledger, longest first, and the colour of all the fields after them.
FIELD_COLORS = (
    "#1E88E5", "#FFC107", "#D81B60", "#004D40", "#5E35B1", "#FF8A65", "#7CB342", "#00ACC1")
REST_COLOR = "#B0BEC5"


@dataclasses.dataclass(frozen=True)
class FamilyStyle:
    """How one family of programs is drawn: its name, its view, and its marker."""

    label: str
    view: str
    color: str
    marker: str


FAMILIES = {
    "baseline": FamilyStyle("Baseline", INFERENCE_CONTROL, "#004D40", "o"),
    "icl": FamilyStyle("ICL", INFERENCE_CONTROL, "#D81B60", "s"),
    "urial": FamilyStyle("URIAL", INFERENCE_CONTROL, "#5E35B1", "^"),
    "lora": FamilyStyle("LoRA", PARAMETRIC, "#FF8A65", "P"),
    "blora": FamilyStyle("Bayesian LoRA", PARAMETRIC, "#FFC107", "D"),
    "bayesian_bits": FamilyStyle("Bayesian LoRA", PARAMETRIC, "#FFC107", "D"),
    "vector": FamilyStyle("Shared vector", PARAMETRIC, "#43A047", "*"),
    "norm_gains": FamilyStyle("Norm gains", PARAMETRIC, "#9E9D24", "d"),
    "prefix": FamilyStyle("Prefix", PARAMETRIC, "#EC407A", "H"),
    "soft_prompt": FamilyStyle("Soft prompt", PARAMETRIC, "#AB47BC", "8"),
    "lm_head": FamilyStyle("LM head", PARAMETRIC, "#8D6E63", "p"),
    "full": FamilyStyle("Full fine-tuning", PARAMETRIC, "#6D4C41", "h"),
    "full_ft": FamilyStyle("Full fine-tuning", PARAMETRIC, "#6D4C41", "h"),
    "online": FamilyStyle("Subset training", DATA, "#1E88E5", "v"),
    "combined": FamilyStyle("Combined", UNIFIED, "#00897B", ">"),
    "phase-one": FamilyStyle("Phase one", DATA, "#4FC3F7", "<"),
    "phase-two": FamilyStyle("Phase two", UNIFIED, "#00897B", ">"),
}

# What the reference's results file calls our families.
_ALIASES = {"online_coding": "online"}


def family_style(family: str) -> FamilyStyle:
    """Returns how to draw a family; one without a style of its own is drawn in grey."""
    known = FAMILIES.get(_ALIASES.get(family, family))
    if known is None and "+" in family:
        parts = [family_style(part).label for part in family.split("+")]
        return FamilyStyle(" + ".join(parts), UNIFIED, VIEW_COLORS[UNIFIED], "X")
    return known or FamilyStyle(family, OTHER, VIEW_COLORS[OTHER], "X")


def view_of(family: str) -> str:
    """Returns the view of adaptation that a family belongs to."""
    return family_style(family).view


def format_score(score: float) -> str:
    """Formats a score in the task's own unit: three decimals for shares, two for 0 to 100."""
    return f"{score:.{_decimals(score)}f}"


def format_estimate(score: float, stderr: float | None) -> str:
    """Formats a score with its standard error, to the same decimals; alone where no error is known (None)."""
    return format_score(score) + ("" if stderr is None else f" ± {stderr:.{_decimals(score)}f}")


def format_interval(low: float, high: float) -> str:
    """Formats an interval of scores, both ends to the same decimals."""
    decimals = _decimals(max(abs(low), abs(high)))
    return f"{low:.{decimals}f} to {high:.{decimals}f}"


def format_factor(factor: float) -> str:
    """Formats how many times something is longer, to three significant digits."""
    for unit, size in (("T", 1e12), ("G", 1e9), ("M", 1e6)):
        # What rounds up to the unit is written in it.
        if factor >= 0.9995 * size:
            return f"{_three_digits(factor / size)}{unit}"
    return _three_digits(factor)


def _three_digits(number: float) -> str:
    rounded = float(f"{number:.3g}")
    return f"{rounded:,.{max(0, 2 - math.floor(math.log10(rounded)))}f}" if rounded else "0"


def format_bytes(bits: int) -> str:
    """Formats a length in bits as bytes that a person can read; exact below 1 kB."""
    size = (bits + 7) // 8
    if size < 1000:
        return f"{size} B"
    for unit in ("kB", "MB", "GB", "TB"):
        size /= 1000
        if size < 999.5 or unit == "TB":
            return f"{size:.3g} {unit}"


def _decimals(score: float) -> int:
    return 2 if abs(score) > 1 else 3
