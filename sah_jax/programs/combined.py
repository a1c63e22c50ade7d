"""`combined`: a data program whose training steps are reweighted by coded numbers: the paper's two phases.

Phase one codes examples and trains on them, as `online` does, and keeps what each of the first steps
changed in every factor of every low-rank pair. Phase two weighs these changes: A = A_0 + sum_t (1 + c_t)
dA_t, and B alike, with one vector c for each layer and projection, fitted to the whole training split. The
reader replays phase one to have the changes, and reads c. With all c zero it is phase one after so many
steps.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np

from sah_jax import errors, hosts
from sah_jax.models import base as base_lib
from sah_jax.programs import base as family_lib
from sah_jax.programs import header, lowrank, online, quantised
from sah_jax.programs import learner as learner_lib

_MOST_STEPS = 256


@dataclasses.dataclass(frozen=True, kw_only=True)
class CombinedForm(quantised.Form):
    """steps are reweighted; the rest is of phase one, see `online.OnlineForm`."""

    steps: int = header.coded(header.Count(1, _MOST_STEPS), default=8)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CombinedSetting(CombinedForm, quantised.Fitting):
    """Phase two is fitted as `quantised.Fitting` says.

    coded_examples, data_rate, rank, alpha, optimizer: of phase one; so many examples are coded, and
      data_rate is the learning rate there. Its batches have the shape of phase two's.
    """

    coded_examples: int = header.fitting(header.Positive())
    data_rate: float = header.fitting(header.Decimal())
    rank: int = header.fitting(header.Choice(lowrank.RANKS), default=8)
    alpha: int = header.fitting(header.Positive(), default=8)
    optimizer: str = header.fitting(header.Choice(tuple(learner_lib.WEIGHT_DECAYS)), default="adamw")


class Combined(quantised.QuantisedFamily):
    """Coded examples, and coefficients on the steps of training on them."""

    name = "combined"
    Form, Setting = CombinedForm, CombinedSetting
    unchanged_at_zero = False
    alone = True

    def shapes(self, form, decoder) -> dict[str, tuple[int, ...]]:
        """See `QuantisedFamily.shapes`."""
        return {f"{name}/coefficients": (pair["a"][0], form.steps)
                for name, pair in lowrank.shapes(decoder, 1).items()}

    def together(self, setting):
        """See `FittedTogether.together`: the changes have the shapes of phase one's pairs."""
        return *super().together(setting), setting.rank

    def extra(self, setting, base, task, seed) -> online.OnlineTheta:
        """See `QuantisedFamily.extra`: what phase one codes."""
        form = online.OnlineForm(
            num_examples=setting.coded_examples, learning_rate=setting.data_rate, rank=setting.rank,
            alpha=setting.alpha, optimizer=setting.optimizer, batch_size=setting.batch_size,
            max_tokens=setting.max_tokens)
        return online.Online().fit(form, base, task, seed, lambda line: None)

    def knobs(self, form, seed, base, extra=()):
        """See `QuantisedFamily.knobs`: the factors before training, and the changes of its steps."""
        watched = _Watched(extra.form, seed, base, form.steps)
        online.train(self.name, extra, watched.learner)
        return watched.changes()

    def write_extra(self, writer, theta, base):
        """See `QuantisedFamily.write_extra`."""
        online.write_examples(self.name, theta.extra, writer, base, lambda line: None)

    def read_extra(self, reader, form, seed, base, report):
        """See `QuantisedFamily.read_extra`."""
        found = online.read_examples(self.name, online.OnlineForm, reader, base, report)[0]
        if found.form.learner != "lora":
            raise reader.invalid(f"its phase one trains {found.form.learner}, which has no pairs to reweight")
        return found

    def program(self, values, form, knobs, params, decoder) -> family_lib.Added:
        """See `QuantisedFamily.program`."""
        factors = {}
        for name, pair in knobs["start"].items():
            weights = 1 + values[f"{name}/coefficients"]
            factors[name] = {
                factor: x + jnp.einsum("JG,GJXY->JXY", weights, knobs["changes"][name][factor])
                for factor, x in pair.items()}
        return family_lib.Added(lowrank.expand(factors, knobs["scale"]))

    def portable(self, theta) -> bool:
        """See `QuantisedFamily.portable`."""
        return False

    def decode_flops(self, theta, base) -> int:
        """See `QuantisedFamily.decode_flops`: phase one as it is read, and again for its changes."""
        return 2 * online.replay_flops(theta.extra, base)

    def accounts(self, setting, theta, base, context=()):
        """See `Family.accounts`: phase one is trained before phase two."""
        found = super().accounts(setting, theta, base, context)
        return dataclasses.replace(
            found, train_flops=found.train_flops + online.replay_flops(theta.extra, base))


class _Watched:
    """A learner whose first steps are kept."""

    def __init__(self, form: online.OnlineForm, seed: int, base: base_lib.BaseModel, steps: int):
        self.learner = online.make_learner(form, seed, base)
        self._scale, self._steps = form.alpha / form.rank, steps
        self._seen = [hosts.fetch(self.learner.theta)]
        self.learner.after_step = self._keep

    def _keep(self) -> None:
        if len(self._seen) <= self._steps:
            self._seen.append(hosts.fetch(self.learner.theta))

    def changes(self):
        """Returns the factors before training, and for each the changes [G, ...] of the first steps.

        Raises:
          UserError: there were fewer steps.
        """
        if len(self._seen) <= self._steps:
            raise errors.UserError(
                f"combined reweights {self._steps} steps, phase one has {len(self._seen) - 1}; code more "
                "examples or set steps to fewer.")
        changes = jax.tree.map(lambda *leaves: np.diff(np.stack(leaves), axis=0), *self._seen)
        return {"start": self._seen[0], "changes": changes, "scale": np.float32(self._scale)}
