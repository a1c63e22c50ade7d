"""`lora`: low-rank adapters (Hu et al. 2021, arXiv 2106.09685), trained quantised, entropy coded.

Both factors are numbers of `latents`: a = a_0 + step_a * q_a and b = step_b * q_b, where a_0
comes from a coded seed. Of 16 bits a weight it is the paper's LoRA: AdamW at a constant rate, and
all numbers written raw.
"""

import dataclasses

import numpy as np

from sah_jax.programs import base as family_lib
from sah_jax.programs import header, lowrank, quantised


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoraForm(quantised.Form):
    """The update is scaled by alpha / rank; layers and modules say which projections are adapted."""

    rank: int = header.coded(header.Choice(lowrank.RANKS))
    alpha: int = header.coded(header.Count(1, lowrank.MAX_ALPHA), default=8)
    layers: str = header.coded(header.Layers(), default="all")
    modules: str = header.coded(lowrank.MODULES, default="all")


@dataclasses.dataclass(frozen=True, kw_only=True)
class LoraSetting(LoraForm, quantised.Fitting):
    """See `LoraForm` and `quantised.Fitting`."""


class Lora(quantised.QuantisedFamily):
    """Low-rank adapters on projections of the layers."""

    name = "lora"
    Form, Setting = LoraForm, LoraSetting
    RUNTIME = {"alpha": 1, "layers": "all", "modules": "all"}

    def shapes(self, form, decoder) -> dict[str, tuple[int, ...]]:
        """See `QuantisedFamily.shapes`."""
        return {f"{name}/{factor}": shape for name, pair in lowrank.shapes(decoder, form.rank).items()
                for factor, shape in pair.items()}

    def kept(self, form, base):
        """See `QuantisedFamily.kept`."""
        layers, modules = header.Layers().of(form.layers, base), lowrank.MODULES.of(form.modules)
        return {name: layers if name.split("/")[1] in modules else () for name in self.shapes(
            form, base.decoder)}

    def portable(self, theta) -> bool:
        """See `QuantisedFamily.portable`."""
        return True

    def paper_count(self, theta, base) -> int:
        """See `QuantisedFamily.paper_count`: what the file holds."""
        kept = self.kept(theta.form, base)
        return sum(array[list(kept[name])].size for name, array in theta.latents.symbols.items())

    def knobs(self, form, seed, base, extra=()):
        """See `QuantisedFamily.knobs`."""
        scales = lowrank.layer_scales(base, form.alpha / form.rank, form.layers, form.modules)
        return {"seed": np.int32(seed), "scales": scales}

    def program(self, values, form, knobs, params, decoder) -> family_lib.Added:
        """See `QuantisedFamily.program`."""
        start = lowrank.start(decoder, form.rank, knobs["seed"])
        factors = {name: {factor: x + values[f"{name}/{factor}"] for factor, x in pair.items()}
                   for name, pair in start.items()}
        return family_lib.Added(lowrank.expand(factors, knobs["scales"]))
