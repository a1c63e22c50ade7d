"""Tasks of lm-evaluation-harness (Gao et al. 2021) as tasks of a study: `lm_eval:arc_easy`.

Its own code renders the prompts, filters the responses and computes the metrics; the text comes
from the model under study, as for any other task. A name is one of the harness's, of a YAML file in
one of the folders that `SAH_TASKS` lists, or the path of such a file.

Prompts have no worked examples, whatever `num_fewshot` says: worked examples are a program, and a
program is paid for.
"""

from __future__ import annotations

import functools
import inspect
import json
import logging
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any, ClassVar

from sah_jax.errors import UserError
from sah_jax.tasks.base import check_paired, cut_at_stop, digest_of, Example, source_of
from sah_jax.tasks.scores import Score
from sah_jax.tasks.tabular import TabularTask

KIND = "lm_eval"

# What the harness's models generate where a task does not say, and room left for a choice.
_MOST_TOKENS = 256
_CHOICE_TOKENS = 64


@dataclass(frozen=True)
class HarnessTask(TabularTask):
    """A `generate_until` or `multiple_choice` task of the harness.

    The test split is the one that the harness evaluates. Training items are those of its training split, or
    of its validation split if it tests on another.

    Attributes:
        named: The harness's name for it, or the path of its YAML file.
        task: The harness's object.
    """

    kind: ClassVar[str] = KIND
    written_prompt: ClassVar[str] = ""

    named: str
    task: Any

    @property
    def name(self) -> str:
        """See `Task.name`."""
        return f"{KIND}:{self.named}"

    @property
    def stop(self) -> tuple[str, ...]:
        """See `Task.stop`."""
        return tuple(text for text in self._generation["until"] if text)

    @property
    def max_new_tokens(self) -> int:
        """See `Task.max_new_tokens`."""
        return _CHOICE_TOKENS if self._is_choice else self._generation["max_gen_toks"]

    @property
    def demonstration_separator(self) -> str:
        """See `Task.demonstration_separator`."""
        return self.task.config.fewshot_delimiter

    def rows(self, split: str) -> Sequence[int]:
        """Returns the numbers of the split's documents; see `TabularTask.rows`."""
        return range(len(self._documents(split)))

    def data(self, splits: Iterable[str]) -> dict[str, str]:
        """See `Task.data`: the documents, and the task's file but for where they are and for few shots."""
        sources = sorted(set(map(source_of, splits)))
        config = self.task.dump_config()
        rule = {
            key: _told(value) for key, value in config.items()
            if not key.startswith("dataset_") and key != "fewshot_config"}
        return {one: self._digests[one] for one in sources if self._documents(one) is not None} | {
            f"lm_eval {metadata.version('lm_eval')}": digest_of([rule])}

    def about(self, row: int) -> str:
        """Returns the prompt of a training document."""
        prompt = self._prompt(self._documents("train")[row])
        return prompt if isinstance(prompt, str) else prompt[0]

    def example(self, row: int, split: str) -> Example:
        """See `TabularTask.example`; `gold` says which document it is."""
        source = source_of(split)
        document = self._documents(source)[row]
        prompt, choices = self._prompt(document), ()
        if self._is_choice:
            requests = self.task.construct_requests(document, prompt)
            choices = tuple((request.args[0], request.args[1]) for request in requests)
        answer = self._answer(document, prompt)
        if not isinstance(prompt, str):
            prompt = prompt[self.task.doc_to_text(document)]
        return Example(prompt, answer, f"{source} {row}", choices=choices)

    def extract(self, response: str) -> str:
        """Returns the response up to a stop string; of multiple choice, the number of the likeliest."""
        if not self._is_choice:
            return cut_at_stop(response, self.stop)
        nats = [one for one, _ in _weights(response)]
        return str(nats.index(max(nats)))

    def score(self, examples: Sequence[Example], responses: Sequence[str]) -> Score:
        """Scores by the harness's metrics: by the first of which more is better, the others beside it."""
        check_paired(examples, responses)
        instances = [
            self._answered(example, response)
            for example, response in zip(examples, responses, strict=True)
        ]
        flat = [instance for some in instances for instance in some]
        found: dict[str, list] = {}
        for ensemble in self.task._filters if flat else ():  # the harness's only way to apply them
            ensemble.apply(flat)
            for some in instances:
                results = self.task.process_results(
                    some[0].doc, [instance.filtered_resps[ensemble.name] for instance in some])
                for metric, value in results.items():
                    name = metric if ensemble.name == "none" else f"{metric},{ensemble.name}"
                    found.setdefault(name, []).append(value)
        return self._summary(found)

    def _summary(self, found: Mapping[str, list]) -> Score:
        from lm_eval.api import metrics

        scores = []
        for name, values in found.items():
            metric = name.partition(",")[0]
            aggregate = self.task.aggregation().get(metric, metrics.mean)
            better = self.task.higher_is_better().get(metric, True)
            if aggregate is metrics.mean:
                score = Score.of(values, name)
            else:
                score = Score.aggregated(values, aggregate, name)
            scores.append((not better, score))
        if not scores:
            return Score.of(())
        if all(worse for worse, _ in scores):
            raise UserError(
                f"Got task {self.name}, of whose metrics ({', '.join(found)}) less is better, expected one "
                "of which more is; choose another task."
            )
        (_, first), *others = sorted(scores, key=lambda pair: pair[0])
        return first.beside(*(score for _, score in others))

    def _answered(self, example: Example, response: str) -> list:
        """Returns the harness's requests for an example, with the response to each."""
        source, _, row = example.gold.partition(" ")
        document = self._documents(source)[int(row)]
        requests = self.task.construct_requests(
            document, self._prompt(document), metadata=(self.named, int(row), 1))
        requests = requests if isinstance(requests, list) else [requests]
        given: list[Any] = [self.extract(response)]
        if self._is_choice:
            given = _weights(response)
        if len(given) != len(requests):
            raise UserError(
                f"Got {len(given)} log-likelihoods for item {row} of {self.name}, expected {len(requests)}; "
                "give one for each choice."
            )
        for request, one in zip(requests, given, strict=True):
            request.resps = [one]
        return requests

    def _prompt(self, document: Any) -> str | list[str]:
        """Returns the prompt, or one for each choice where the choices are in it."""
        return self.task.fewshot_context(
            document, num_fewshot=0, gen_prefix=self.task.doc_to_prefix(document))

    def _answer(self, document: Any, prompt: str | list[str]) -> str:
        """Returns what a worked example of the harness has after the prompt."""
        config, target = self.task.config, self.task.doc_to_target(document)
        if not isinstance(prompt, str):
            return f"{config.target_delimiter}{target}"
        turn = self.task.build_qa_turn(
            q=self.task.doc_to_text(document),
            c=self.task.doc_to_choice(document) if config.doc_to_choice else None,
            a=target if isinstance(target, int | list) else str(target),
            gen_prefix=self.task.doc_to_prefix(document), tgt_delim=config.target_delimiter, few_delim="")
        asked = self.task.build_qa_turn(
            q=self.task.doc_to_text(document), gen_prefix=self.task.doc_to_prefix(document),
            tgt_delim=config.target_delimiter, few_delim="")
        worked, bare = ("".join(message.to_text() for message in some) for some in (turn, asked))
        return worked.removeprefix(bare)

    def _documents(self, split: str) -> Any:
        documents = self._splits[split]
        if documents is None:
            raise UserError(
                f"Got the {split} split of {self.name}, which has none, nor a validation split that it is "
                "not tested on; choose another task, or a family and selection that need no such items."
            )
        return documents

    @functools.cached_property
    def _splits(self) -> dict[str, Any]:
        train = None
        if self.task.has_training_docs():
            train = self.task.training_docs()
        elif self.task.has_validation_docs() and self.task.has_test_docs():
            train = self.task.validation_docs()
        return {"train": train, "test": self.task.eval_docs}

    @functools.cached_property
    def _digests(self) -> dict[str, str]:
        return {
            source: digest_of(documents)
            for source, documents in self._splits.items() if documents is not None}

    @property
    def _is_choice(self) -> bool:
        return self.task.OUTPUT_TYPE == "multiple_choice"

    @functools.cached_property
    def _generation(self) -> dict[str, Any]:
        return generation(self.task.config.generation_kwargs or {}, self.name)


def generation(given: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Returns a request's `until` and `max_gen_toks`, as the harness reads its keywords.

    Args:
        given: The keywords.
        what: What they are of, for errors.

    Raises:
        UserError: If they ask for sampling.
    """
    from lm_eval.models import utils

    found = utils.normalize_gen_kwargs(dict(given), _MOST_TOKENS)
    if found["do_sample"]:
        raise UserError(
            f"Got {what}, which samples ({dict(given)}), expected greedy generation, which a fresh process "
            "repeats; set do_sample to false, or choose another task."
        )
    return {**found, "until": utils.handle_stop_sequences(found.get("until"), None)}


@functools.cache
def get(named: str, folders: tuple[str, ...] = ()) -> HarnessTask:
    """Returns a task of the harness; a process loads it once.

    Args:
        named: Its name, or the path of its YAML file.
        folders: Where other tasks of the harness's format are.

    Raises:
        UserError: If the harness is not installed, has no such task, cannot load it, or it is of a kind
            that has neither responses nor choices.
    """
    tasks = _manager(folders)
    if named in tasks.all_groups or named in tasks.all_tags:
        raise UserError(
            f"Got task {KIND}:{named}, which is a group of tasks, expected one of them; lm_eval ls subtasks "
            "shows their names."
        )
    try:
        found = tasks.load(named)["tasks"]
    except KeyError as error:
        raise UserError(
            f"Got task {KIND}:{named}, expected a name that lm_eval ls tasks shows, one in a folder of "
            f"SAH_TASKS, or a YAML file ({_line(error)}); change the task's name."
        ) from error
    except Exception as error:  # a task's file and its data set can raise anything
        raise UserError(
            f"Got task {KIND}:{named}, which lm_eval cannot load ({_line(error)}); correct its file, or "
            "get its data set."
        ) from error
    if len(found) != 1:
        raise UserError(
            f"Got task {KIND}:{named}, whose file has the tasks {', '.join(found) or 'none'}, expected one."
        )
    (task,) = found.values()
    if task.OUTPUT_TYPE not in ("generate_until", "multiple_choice") or getattr(task, "MULTIMODAL", False):
        raise UserError(
            f"Got task {KIND}:{named}, whose output_type is {task.OUTPUT_TYPE}, expected generate_until or "
            "multiple_choice of text; choose another task."
        )
    if getattr(task.config, "repeats", 1) != 1:
        raise UserError(
            f"Got task {KIND}:{named}, which asks for {task.config.repeats} responses an item, expected one; "
            "choose another task."
        )
    return HarnessTask(named, task)


@functools.cache
def _manager(folders: tuple[str, ...]) -> Any:
    try:
        from lm_eval import tasks
    except ImportError as error:
        raise UserError(
            f"Got a task of lm_eval, which is not installed ({error}); install the extra sah_jax[lm_eval]."
        ) from error
    logging.getLogger("lm_eval").setLevel(logging.ERROR)  # it tells of each task that it indexes
    return tasks.TaskManager(include_path=list(folders) or None)


def _told(value: Any) -> Any:
    """Returns a part of a task's file with functions as their source: they have no other lasting name."""
    if isinstance(value, Mapping):
        return {key: _told(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_told(one) for one in value]
    if not callable(value):
        return value
    try:
        return inspect.getsource(value)
    except (OSError, TypeError):  # a partial, or what has no file
        return getattr(value, "__qualname__", type(value).__qualname__)


def _weights(response: str) -> list[tuple[float, bool]]:
    """Reads a response to multiple choice; see `evaluate.weighed`."""
    try:
        return [(float(nats), bool(greedy)) for nats, greedy in json.loads(response)]
    except (ValueError, TypeError) as error:
        raise UserError(
            f"Got the response {response[:40]!r} to a multiple choice, expected a JSON list with "
            "[log-likelihood, whether greedy] of each choice; correct it."
        ) from error


def _line(error: BaseException) -> str:
    return " ".join(str(error).split()) or type(error).__name__
