"""Tasks of lm-evaluation-harness: its prompts, its filters, its metrics."""

import json
import math

import harness_tasks
import pytest

from sah_jax import errors
from sah_jax.tasks import harness, registry

pytest.importorskip("lm_eval", reason="the harness is the extra `lm_eval`")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return harness_tasks.write(
        tmp_path_factory.mktemp("harness"),
        untrained="output_type: generate_until\ntraining_split: null\ndoc_to_text: '{{a}}'\n"
        "doc_to_target: '{{b}}'\n",
        validated="output_type: generate_until\ntraining_split: null\nvalidation_split: train\n"
        "doc_to_text: '{{a}} {{b}}'\ndoc_to_target: '{{b}}'\n",
        tested="output_type: generate_until\ntraining_split: null\ntest_split: null\n"
        "validation_split: train\ndoc_to_text: '{{a}}'\ndoc_to_target: '{{b}}'\n",
        sampled="output_type: generate_until\ndoc_to_text: '{{a}}'\ndoc_to_target: '{{b}}'\n"
        "generation_kwargs: {do_sample: true, temperature: 0.7}\n",
        likelihood="output_type: loglikelihood\ndoc_to_text: '{{a}}'\ndoc_to_target: '{{b}}'\n",
        repeated="output_type: generate_until\nrepeats: 3\ndoc_to_text: '{{a}}'\ndoc_to_target: '{{b}}'\n",
        worse="output_type: generate_until\ndoc_to_text: '{{a}}'\ndoc_to_target: '{{b}}'\n"
        "metric_list: [{metric: ter, aggregation: ter, higher_is_better: false}]\n",
        broken="output_type: generate_until\ndataset_kwargs: {data_files: {test: nowhere.jsonl}}\n")


@pytest.fixture
def get(folder, monkeypatch):
    monkeypatch.setenv(registry.FILES, str(folder))
    return lambda name: registry.get_task(f"lm_eval:{name}")


def test_items_are_the_harness_s_prompts_and_answers(get):
    task = get("sums")
    for example in task.examples("test", 12):
        a, b = (int(word) for word in example.prompt.removeprefix("What is ").split("?")[0].split(" + "))
        assert example.prompt == f"What is {a} + {b}?\n=" and example.answer == f" {a + b}"
    assert task.test_size() == 12 and task.name == "lm_eval:sums"
    assert (task.stop, task.max_new_tokens, task.demonstration_separator) == (("\n",), 12, "\n\n")


@pytest.mark.parametrize("name", ["sums", "choice", "blank", "corpus"])
def test_worked_examples_are_those_of_the_harness(get, name, monkeypatch):
    task = get(name)
    for row, document in enumerate(list(task.task.training_docs())[:20]):
        monkeypatch.setattr(task.task.sampler, "sample", lambda n, eval_doc=None, one=document: [one])
        context = task.task.fewshot_context(document, num_fewshot=1)
        context = context if isinstance(context, str) else context[0]
        example = task.example(row, "train")
        assert context.startswith(f"{example.prompt}{example.answer}{task.demonstration_separator}")


def test_train_and_selection_share_no_prompt(get):
    task = get("sums")
    held_out = {example.prompt for example in task.examples("selection", 3)}
    assert held_out and not held_out & {example.prompt for example in task.examples("train", 75)}


def test_each_filter_has_its_metric(get):
    task = get("sums")
    examples = task.examples("test", 4)
    right = [example.answer for example in examples]
    responses = [right[0], f" so{right[1]}", " none", right[3] + "\nWhat is 1 + 1?\n= 3"]
    score = task.score(examples, responses)
    # What comes after a stop string is not read.
    assert task.score(examples[:1], ["\n" + right[0]]).metrics["exact_match,any"].value == 0.0
    assert {name: one.value for name, one in score.metrics.items()} == {
        "exact_match,strict": 0.5, "exact_match,any": 0.75}
    assert score.outcomes == (1.0, 0.0, 0.0, 1.0) and score.value == 0.5
    assert score.stderr == pytest.approx(math.sqrt(1 / 3 / 4))


def test_what_a_task_does_not_say_is_the_harness_s_default(get):
    assert (get("untrained").max_new_tokens, get("untrained").stop) == (256, ("\n\n",))


def test_scores_do_not_hang_on_the_order_of_items(get):
    task = get("sums")
    examples = task.examples("test", 5)[::-1]
    assert task.score(examples, [example.answer for example in examples]).value == 1.0


def test_choices_are_weighed_by_all_nats_and_by_those_of_a_character(get):
    task = get("choice")
    (example,) = task.examples("test", 1)
    total = int(example.answer)
    assert example.prompt.startswith("Sums.\n") and example.prompt.endswith("=")
    assert example.choices == tuple(
        (example.prompt, f" {text}") for text in (total + 1, total, f"{total} or so, I think"))
    score = task.score([example], [json.dumps([[-5.0, False], [-4.0, True], [-9.0, False]])])
    assert {name: one.value for name, one in score.metrics.items()} == {"acc": 1.0, "acc_norm": 0.0}
    assert task.extract("[[-5, false], [-4, true], [-9, false]]") == "1"


def test_choices_may_stand_in_the_prompt(get):
    (example,) = get("blank").examples("test", 1)
    first, second = example.choices
    assert first[1] == second[1] == example.answer == " by far."
    assert example.prompt == second[0] != first[0]
    assert get("blank").score([example], ["[[-2, false], [-1, false]]"]).value == 1.0


def test_corpus_metrics_are_pooled_and_more_of_the_first_one_is_better(get):
    task = get("corpus")
    examples = task.examples("test", 6)
    right = [example.answer for example in examples]
    assert task.score(examples, right).value == pytest.approx(100.0)
    score = task.score(examples, [*right[:3], " none", " of", " these"])
    assert list(score.metrics) == ["bleu", "ter"]
    assert 0.0 < score.value < 100.0 and score.stderr > 0.0
    aggregate = task.task.aggregation()["bleu"]
    assert score.value == aggregate(list(score.outcomes)) == score.metrics["bleu"].value


@pytest.mark.parametrize(("name", "said"), [
    ("nothing", "lm_eval ls tasks"), ("sampled", "which samples"),
    ("likelihood", "output_type is loglikelihood"), ("repeated", "3 responses an item"),
    ("worse", "less is better"), ("broken", "cannot load"),
    ("glue", "a group of"),
])
def test_what_cannot_be_a_task_is_named(get, name, said):
    with pytest.raises(errors.UserError, match=said):
        task = get(name)
        examples = task.examples("test", 1)
        task.score(examples, [example.answer for example in examples][: len(task.stop) + 1])


def test_a_validation_split_is_trained_on_if_another_is_tested(get):
    task = get("validated")
    assert task.test_size() == 12 and len(task.examples("train", 70)) == 70


@pytest.mark.parametrize(("name", "size"), [("untrained", 12), ("tested", 90)])
def test_a_task_without_training_items_is_tested_all_the_same(get, name, size):
    task = get(name)
    assert task.test_size() == size
    with pytest.raises(errors.UserError, match=f"the train split of lm_eval:{name}, which has none"):
        task.examples("train", 1)


@pytest.mark.parametrize("response", ["1", "[1, 2, 3]", "[[-1, true]]", "very"])
def test_responses_to_a_choice_are_checked(get, response):
    task = get("choice")
    with pytest.raises(errors.UserError, match=r"expected (a JSON list|3)"):
        task.score(task.examples("test", 1), [response])


def test_a_task_with_functions_is_told_by_their_source(folder, tmp_path, monkeypatch):
    (tmp_path / "own.py").write_text("def same(documents):\n    return documents\n")
    text = (folder / "sums.yaml").read_text() + "process_docs: !function own.same\n"
    (tmp_path / "own.yaml").write_text(text)
    task = harness.get(f"{tmp_path}/own.yaml")
    monkeypatch.setattr(harness, "digest_of", lambda things: repr(list(things)))
    (told,) = (text for name, text in task.data(("test",)).items() if name.startswith("lm_eval "))
    # Another process has the functions at other addresses.
    assert " at 0x" not in told and "return documents" in told
    assert harness._told([{"a": max}, (task.score, 3)])[0] == {"a": "max"}


def test_a_path_is_a_name_too(folder):
    assert harness.get(f"{folder}/sums.yaml").examples("test", 1)
