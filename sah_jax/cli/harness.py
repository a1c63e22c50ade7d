"""A base model, with or without a program, as a model of lm-evaluation-harness: `sah_jax`.

    sah lm_eval run --model=sah_jax --model_args=model=nano,program=FILE --tasks=arc_easy

or in Python, after importing this module: `lm_eval.simple_evaluate("sah_jax", "model=nano", tasks=[...])`.
"""

import json
import sys
from collections.abc import Sequence

from absl import flags

from sah_jax import errors
from sah_jax.cli import common

try:
    import lm_eval.utils
    from lm_eval import _cli
    from lm_eval.api import model as model_lib
    from lm_eval.api import registry
except ImportError as error:
    raise errors.UserError(
        f"lm_eval is not installed ({error}); install the extra sah_jax[lm_eval].") from error

_OF_THE_RUNNER = ("batch_size", "max_batch_size", "device")


@registry.register_model("sah_jax")
class SahJax(model_lib.LM):
    """Answers the harness's requests with a base model under a program, on this process's devices.

    The start token stands before every text, as it did when the program was fitted: what the harness's
    `hf` model does with add_bos_token=True. A text that is too long loses its first tokens, as there: of
    the base alone the start token too, while under a program what the program puts first stays.
    Batches are those of studies; the runner's `batch_size` and `device` change nothing.
    """

    def __init__(self, add_bos_token: bool = True, **given):
        """Reads the model and decodes the program.

        Args:
          add_bos_token: False leaves the start token out where the base alone is evaluated.
          **given: `model` and perhaps `program`, `dtype`, `mesh` and so on, the flags of `sah run`.

        Raises:
          UserError: as `sah run` does.
        """
        super().__init__()
        values = flags.FlagValues()
        common.define_model(values, "Model.")
        flags.DEFINE_string("program", None, "Program that adapts the model.", flag_values=values)
        given = {name: value for name, value in given.items() if name not in _OF_THE_RUNNER}
        try:
            values(["sah_jax", *(f"--{name}={value}" for name, value in given.items())])
        except flags.Error as error:
            raise errors.UserError(f"model_args: {error}, expected {', '.join(values)}.") from error
        if values.model is None or values.program is not None and not add_bos_token:
            raise errors.UserError(
                f"got the model_args {given} with add_bos_token={add_bos_token}, expected model=NAME, and a "
                "start token wherever there is a program; correct them.")
        self._start = add_bos_token
        self._base, self._adapted = common.adapted(values)
        self._variables = self._adapted.variables(self._base)

    @property
    def tokenizer_name(self) -> str:
        """What the runner's caches of requests know the model by."""
        return self._base.digest

    def loglikelihood(self, requests: Sequence, disable_tqdm: bool = False) -> list[tuple[float, bool]]:
        """Returns (log-likelihood in nats, whether it is the greedy one) of each request's continuation."""
        from sah_jax.models import likelihood

        found = likelihood.loglikelihoods(
            self._base, self._variables, [request.args for request in requests],
            context=self._adapted.context, cut=True, start=self._start)
        return self._cached("loglikelihood", requests, map(tuple, found))

    def loglikelihood_rolling(self, requests: Sequence, disable_tqdm: bool = False) -> list[float]:
        """Returns the log-likelihood in nats of each request's text, in windows where it is long."""
        from sah_jax.models import likelihood

        context, start = list(self._adapted.context), self._base.spec.start_token
        before = [start, *context] if context else []
        rows, owners = [], []
        for owner, request in enumerate(requests):
            windows = lm_eval.utils.get_rolling_token_windows(
                token_list=self._base.encode(request.args[0]), prefix_token=start,
                max_seq_len=self._base.spec.max_positions - len(before), context_len=1)
            for number, window in enumerate(windows):
                seen, predicted = lm_eval.utils.make_disjoint_window(window)
                # The first window's context is the start token, which a program's context already has.
                rows.append((before + seen[context != [] and number == 0 :], predicted))
                owners.append(owner)
        totals = [0.0] * len(requests)
        for owner, found in zip(owners, likelihood.of_rows(self._base, self._variables, rows), strict=True):
            totals[owner] += found.nats
        return self._cached("loglikelihood_rolling", requests, totals)

    def generate_until(self, requests: Sequence, disable_tqdm: bool = False) -> list[str]:
        """Returns the greedy continuation of each request, up to the first of its stop strings."""
        from sah_jax.models import generate
        from sah_jax.tasks import harness

        prefix = [self._base.spec.start_token] * self._start + list(self._adapted.context)
        alike: dict[str, list[int]] = {}
        for index, request in enumerate(requests):
            alike.setdefault(json.dumps(request.args[1], sort_keys=True), []).append(index)
        texts = [""] * len(requests)
        for keywords, members in alike.items():
            asked = harness.generation(json.loads(keywords), "a request")
            room = self._base.spec.max_positions - asked["max_gen_toks"]
            before = prefix if self._adapted.context else []
            rows = [self._base.encode(requests[index].args[0]) for index in members]
            if room <= len(prefix) or not all(rows):
                raise errors.UserError(
                    f"a request has an empty prompt, or {asked['max_gen_toks']} new tokens leave no room for "
                    f"one among the model's {self._base.spec.max_positions} positions; lower max_gen_toks.")
            # Where a prompt is cut, the start token goes first.
            rows = [(prefix[len(before) :] + row)[len(before) - room :] for row in rows]
            found = generate.continue_rows(
                self._base, self._variables, rows, before, max_new_tokens=asked["max_gen_toks"],
                stop=[text for text in asked["until"] if text])
            for index, text in zip(members, found, strict=True):
                texts[index] = text
        return self._cached("generate_until", requests, texts)

    def _cached(self, kind: str, requests: Sequence, answers) -> list:
        """Returns the answers, told to the runner's cache of answers."""
        answers = list(answers)
        for request, answer in zip(requests, answers, strict=True):
            self.cache_hook.add_partial(kind, request.args, answer)
        return answers


def run(arguments: Sequence[str]) -> None:
    """Runs the harness's own command line."""
    sys.argv = ["sah lm_eval", *arguments]  # which reads them from there alone
    lm_eval.utils.setup_logging()
    command = _cli.HarnessCLI()
    command.execute(command.parse_args())
