"""lm-evaluation-harness gives a folder the scores that it gives it with transformers."""

import json
import shutil

import harness_tasks
import numpy as np
import parity_models
import pytest
import tokenizers

from sah_jax.models import base as base_lib
from sah_jax.models import hf_config

pytestmark = pytest.mark.parity

NAMES = ("sums", "choice", "blank", "corpus")

NATS_BOUND = 1e-3
"""Most that the log-likelihood of a continuation may differ."""


@pytest.fixture(scope="module", params=["nano", "smollm3", "olmo3, as pre-trained"])
def folder(request, libraries, tmp_path_factory):
    """A model whose tokenizer puts the start token first, as those of Llama do."""
    path = tmp_path_factory.mktemp("harness") / "model"
    if request.param == "nano":
        shutil.copytree(base_lib.SHIPPED / "nano", path)
    else:
        parity_models.save_random(libraries, path, parity_models.SHAPES[request.param])
    start, end = (hf_config.read(path).start_token, hf_config.read(path).end_tokens[0])
    tokenizer = tokenizers.Tokenizer.from_file(str(path / "tokenizer.json"))
    first, last = tokenizer.id_to_token(start), tokenizer.id_to_token(end)
    tokenizer.post_processor = tokenizers.processors.TemplateProcessing(
        single=f"{first} $A", special_tokens=[(first, start)])
    tokenizer.save(str(path / "tokenizer.json"))
    (path / "tokenizer_config.json").write_text(json.dumps({
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": first, "eos_token": last}))
    return path


@pytest.fixture(params=["", ",add_bos_token=False"], ids=["as the tokenizer does", "no start token"])
def run(request, folder, tmp_path):
    """Returns a function that runs the harness with one of the models."""
    import lm_eval

    from sah_jax.cli import harness  # noqa: F401  (registers the class)

    tasks = harness_tasks.write(tmp_path)

    def of(model, arguments, **options):
        return lm_eval.simple_evaluate(
            model, arguments + request.param, tasks=[f"{tasks}/{name}.yaml" for name in NAMES],
            bootstrap_iters=0, log_samples=True, **options)

    return lambda: (of("sah_jax", f"model={folder}", num_fewshot=1),
                    of("hf", f"pretrained={folder},dtype=float32", num_fewshot=1, device="cpu"))


def test_scores_and_likelihoods_are_those_with_transformers(run, largest):
    ours, theirs = run()
    for name in NAMES:
        assert {metric: value for metric, value in ours["results"][name].items() if "," in metric} == {
            metric: value for metric, value in theirs["results"][name].items() if "," in metric}
        answers, expected = (
            [sample["resps"] for sample in found["samples"][name]] for found in (ours, theirs))
        if name in ("sums", "corpus"):
            assert answers == expected
            continue
        nats, expected_nats = (np.array([[float(resp[0][0]) for resp in one] for one in some])
                               for some in (answers, expected))
        assert largest(f"{name}, nats", np.abs(nats - expected_nats).max()) < NATS_BOUND
        assert [[bool(resp[0][1]) for resp in one] for one in answers] == [
            [bool(resp[0][1]) for resp in one] for one in expected]


@pytest.mark.parametrize("start", [True, False])
def test_long_texts_are_cut_as_with_transformers(folder, start):
    import lm_eval.api.registry
    from lm_eval.api.instance import Instance

    from sah_jax.cli import harness

    long = "Where is the cat? The cat sits on the mat. " * 60
    pairs = [Instance("loglikelihood", {}, (text, " The dog."), 0) for text in (long, "A")]
    asked = [Instance("generate_until", {}, (text, {"max_gen_toks": 9}), 0) for text in (long, "A dog")]
    ours = harness.SahJax(model=str(folder), add_bos_token=start)
    theirs = lm_eval.api.registry.get_model("hf")(
        pretrained=str(folder), dtype="float32", device="cpu", **({} if start else {"add_bos_token": False}))
    assert ours.generate_until(asked) == theirs.generate_until(asked, disable_tqdm=True)
    for got, expected in zip(
            ours.loglikelihood(pairs), theirs.loglikelihood(pairs, disable_tqdm=True), strict=True):
        assert abs(got[0] - float(expected[0])) < NATS_BOUND and got[1] == bool(expected[1])


def test_rolling_likelihoods_are_those_with_transformers(folder, largest):
    import lm_eval.api.registry
    from lm_eval.api.instance import Instance

    from sah_jax.cli import harness

    texts = ["The cat sits on the mat. " * 40, "A", "Where is the cat?"]
    requests = [Instance("loglikelihood_rolling", {}, (text,), 0) for text in texts]
    reference = lm_eval.api.registry.get_model("hf")(
        pretrained=str(folder), dtype="float32", device="cpu", add_bos_token=False)
    ours = harness.SahJax(model=str(folder)).loglikelihood_rolling(requests)
    theirs = reference.loglikelihood_rolling(requests, disable_tqdm=True)
    difference = np.abs(np.array(ours) / np.array([float(one) for one in theirs]) - 1).max()
    assert largest("rolling, relative", difference) < 1e-4
