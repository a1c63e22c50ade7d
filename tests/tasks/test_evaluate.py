"""Evaluation asks every example of the split once and scores what came back."""

from sah_jax.models import generate
from sah_jax.tasks import evaluate


def test_gold_answers_score_one_and_others_zero(nano, nano_math, monkeypatch):
    examples = nano_math.examples("test", 5)
    answers = {example.prompt: example.answer for example in examples}
    asked = {}

    def answer(base, variables, prompts, **options):
        asked.update(options, prompts=prompts)
        return [answers[prompt] if index else "no idea" for index, prompt in enumerate(prompts)]

    monkeypatch.setattr(generate, "generate", answer)
    score = evaluate.evaluate(nano, {}, nano_math, "test", 5, context=(1, 2))
    assert score.outcomes == (0.0, 1.0, 1.0, 1.0, 1.0)
    assert asked["prompts"] == [example.prompt for example in examples]
    assert asked["context"] == (1, 2) and asked["max_new_tokens"] == nano_math.max_new_tokens


def test_shipped_model_learns_the_format_from_the_context_only(nano, nano_math):
    context = nano.encode(nano_math.written_prompt)
    variables = {"params": nano.params}
    without = evaluate.evaluate(nano, variables, nano_math, "selection", 32)
    within = evaluate.evaluate(nano, variables, nano_math, "selection", 32, context)
    assert without.value == 0.0 < within.value
