"""`prefix` and `soft_prompt`: fitted states of attention before every sequence, or fitted embeddings.

A prefix (Li & Liang 2021, arXiv 2101.00190) is keys and values of every layer. A soft prompt (Lester et
al. 2021, arXiv 2104.08691) is embeddings of slots before a sequence; what the model makes of them is
again a prefix, so the decoder runs over them once. Their keys are rotated as if they stood at negative
positions, so the positions of what comes after do not move.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors
from sah_jax.coding import counters, tokens
from sah_jax.models import decoder as decoder_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import header, quantised

_MAX_SLOTS = 1024

STARTS = ("random", "text")
"""What a fit begins with: seeded states, or those of the task's written prompt, which the file holds."""


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrefixForm(quantised.Form):
    """slots before every sequence; start is one of `STARTS`."""

    slots: int = header.coded(header.Count(1, _MAX_SLOTS))
    start: str = header.coded(header.Choice(STARTS), default="random")


@dataclasses.dataclass(frozen=True, kw_only=True)
class PrefixSetting(PrefixForm, quantised.Fitting):
    """See `PrefixForm` and `quantised.Fitting`."""


class _PrefixFamily(quantised.QuantisedFamily):
    """What both have in common: a start that may be a text."""

    Form, Setting = PrefixForm, PrefixSetting
    unchanged_at_zero = False

    def extra(self, setting, base, task, seed):
        """See `QuantisedFamily.extra`: the tokens of the text that it starts from."""
        if setting.start == "random":
            return ()
        found = base.encode(task.written_prompt)[: setting.slots]
        if len(found) < setting.slots:
            raise errors.UserError(
                f"{self.name} has {setting.slots} slots, the written prompt of {task.name} has {len(found)} "
                "tokens; set slots to at most that, or start to random.")
        return tuple(found)

    def check(self, setting, seed, base):
        """See `QuantisedFamily.check`."""
        super().check(setting, seed, base)
        if setting.slots > base.spec.max_positions:
            raise errors.UserError(
                f"{self.name} has {setting.slots} slots, expected at most the model's "
                f"{base.spec.max_positions} positions; correct the config.")

    def write_extra(self, writer, theta, base):
        """See `QuantisedFamily.write_extra`."""
        if theta.form.start == "text":
            with writer.field("text"):
                rows = _text_rows(base, theta.form.slots)
                tokens.write_rows(writer, rows, [theta.extra], [theta.form.slots])

    def read_extra(self, reader, form, seed, base, report):
        """See `QuantisedFamily.read_extra`."""
        if form.slots > base.spec.max_positions:
            raise reader.invalid(
                f"it claims {form.slots} slots, the model has {base.spec.max_positions} positions")
        if form.start == "random":
            return ()
        with reader.field("text"):
            return tuple(tokens.read_rows(reader, _text_rows(base, form.slots), [form.slots])[0])


def _text_rows(base, slots: int) -> tokens.Rows:
    return family_lib.language_rows(base, family_lib.Adapted({}), 1, slots, tokens.NO_END)


class Prefix(_PrefixFamily):
    """Keys and values of every layer."""

    name = "prefix"

    def shapes(self, form, decoder) -> dict[str, tuple[int, ...]]:
        """See `QuantisedFamily.shapes`."""
        spec = decoder.spec
        shape = (spec.layers, form.slots, spec.kv_heads, spec.head_dim)
        return {"attention/prefix_k": shape, "attention/prefix_v": shape}

    def knobs(self, form, seed, base, extra=()):
        """See `QuantisedFamily.knobs`: the keys and values that it starts from."""
        if form.start == "text":
            embeddings = base.params["embed"][np.array(extra)]
            return keys_values(base.decoder, base.params, embeddings)
        shape = self.shapes(form, base.decoder)["attention/prefix_k"]
        own = counters.signs(counters.fold_in(counters.key(seed), 0), shape)
        return {"prefix_k": own, "prefix_v": jnp.zeros(shape, jnp.float32)}

    def program(self, values, form, knobs, params, decoder) -> family_lib.Added:
        """See `QuantisedFamily.program`."""
        return family_lib.Added({"layers": {"attention": {
            name: knobs[name] + values[f"attention/{name}"] for name in ("prefix_k", "prefix_v")}}})

    def portable(self, theta) -> bool:
        """See `QuantisedFamily.portable`: the states of a text are the model's floats."""
        return theta.form.start == "random"


class SoftPrompt(_PrefixFamily):
    """Embeddings of slots before every sequence."""

    name = "soft_prompt"
    layered = False

    def shapes(self, form, decoder) -> dict[str, tuple[int, ...]]:
        """See `QuantisedFamily.shapes`."""
        return {"soft_prompt": (form.slots, decoder.spec.width)}

    def knobs(self, form, seed, base, extra=()):
        """See `QuantisedFamily.knobs`: the embeddings that it starts from, of a text or of random tokens."""
        chosen = np.array(extra, np.uint32)
        if form.start == "random":
            bits = counters.bits(counters.key(seed), (form.slots,))
            chosen = bits % jnp.uint32(base.spec.vocab_size)
        return base.params["embed"][chosen].astype(jnp.float32)

    def program(self, values, form, knobs, params, decoder) -> family_lib.Added:
        """See `QuantisedFamily.program`."""
        states = keys_values(decoder, params, knobs + values["soft_prompt"])
        return family_lib.Added({"layers": {"attention": states}})

    def portable(self, theta) -> bool:
        """See `QuantisedFamily.portable`."""
        return False

    def decode_flops(self, theta, base) -> int:
        """See `QuantisedFamily.decode_flops`."""
        return family_lib.forward_flops(base, {}, theta.form.slots)


def keys_values(decoder: decoder_lib.Decoder, params: dict, x_SD: jax.Array) -> dict[str, jax.Array]:
    """Returns the states [J, S, K, H] of embeddings that stand before position 0.

    Args:
      decoder: the model.
      params: its weights.
      x_SD: the embeddings.
    """
    slots = len(x_SD)
    cache = decoder_lib.init_cache(decoder.spec, 1, slots, decoder.dtype)
    _, state = decoder.clone(mesh=None).apply(
        {"params": params, "cache": cache}, x_SD[None], jnp.arange(slots)[None], -slots, method="hidden_of",
        mutable=["cache"])
    found = state["cache"]["layers"]["attention"]
    return {"prefix_k": jnp.moveaxis(found["k"][:, 0], 3, 1).astype(jnp.float32),
            "prefix_v": jnp.moveaxis(found["v"][:, 0], 2, 1).astype(jnp.float32)}
