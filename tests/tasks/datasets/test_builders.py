"""Each data set reads the shapes that its source has, and refuses what is wrong in its own way."""

import json

import pyarrow
import pytest
from dataset_files import CSV_HEADER, ESNLI, flores, GSM8K, IFEVAL, jsonl, lines, NUM_WORDS, PAIRS, write
from pyarrow import parquet

from sah_jax import errors
from sah_jax.tasks import datasets

ATTRIBUTION = "CC-BY 2.0 (France) Attribution: tatoeba.org #1 (CM) & #2 (Wittydev)"


def _rows(tmp_path, name, split):
    return list(datasets.rows(name, split, data_dir=tmp_path / "prepared", manual_dir=tmp_path))


def _refused(tmp_path, name, sentence):
    with pytest.raises(errors.UserError, match=sentence) as caught:
        datasets.prepare(name, tmp_path / "prepared", tmp_path)
    assert "\n" not in str(caught.value)
    assert not list((tmp_path / "prepared").glob("*/*/*"))


def test_gsm8k_as_parquet(tmp_path):
    (tmp_path / "main").mkdir()
    parquet.write_table(
        pyarrow.Table.from_pylist(GSM8K), tmp_path / "main" / "test-00000-of-00001.parquet")
    assert _rows(tmp_path, "gsm8k", "test") == GSM8K


def test_metamathqa_as_an_array_with_repeated_questions(tmp_path):
    rows = [{"query": "Q?", "response": f"The answer is: {number}", "type": "GSM_AnsAug",
             "original_question": original} for number, original in enumerate(("Q", None))]
    write(tmp_path / "MetaMathQA-395K.json", json.dumps(rows))
    assert _rows(tmp_path, "metamathqa", "train") == [rows[0], {**rows[1], "original_question": ""}]


def test_flores_lines_side_by_side_as_they_stand(tmp_path):
    pairs = [{**pair, "en": f" {pair['en']} "} for pair in PAIRS]
    flores(tmp_path, *([pair[side] for pair in pairs] for side in ("en", "fr")))
    assert _rows(tmp_path, "flores", "dev") == pairs


@pytest.mark.parametrize("english, french, sentence", [
    (["a", "b"], ["a", "b", "c"], r"fra_Latn\.dev:3: has no line beside it in .*eng_Latn\.dev"),
    (["a", "b", "c"], ["a", "b"], r"eng_Latn\.dev:3: has no line beside it in .*fra_Latn\.dev"),
    (["a", "b"], ["a", ""], r"fra_Latn\.dev:2: fr is empty"),
    (["a", "a"], ["b", "c"], r"fra_Latn\.dev:2: has the same English sentence \(a\) as .*:1"),
    ([pair["fr"] for pair in PAIRS], [pair["en"] for pair in PAIRS], r"fra_Latn\.dev:1: got French .Le chat"),
    (["Le chat", "Le chien", "Le lit"], ["one", "two", "four"],
     r"eng_Latn\.dev with .*fra_Latn\.dev: the English side has 3 function words of French"),
])
def test_flores_files_that_do_not_fit(tmp_path, english, french, sentence):
    flores(tmp_path, english, french)
    _refused(tmp_path, "flores", sentence)


@pytest.mark.parametrize("name, columns, attribution", [
    ("translation/tatoeba/eng-fra.5000.tsv", [ATTRIBUTION], ATTRIBUTION),
    ("eng_Latn-fra_Latn.gz", ["1.2", "0.9", "0.8", "crawl", "", "crawl2", "http://b"],
     "crawl crawl2 http://b"),
])
def test_nllb_keeps_where_a_pair_is_from(tmp_path, name, columns, attribution):
    lines(tmp_path / name, ["\t".join([pair["en"], pair["fr"], *columns]) for pair in PAIRS])
    assert _rows(tmp_path, "nllb", "train") == [{**pair, "attribution": attribution} for pair in PAIRS]


def test_nllb_is_cut_to_its_first_rows(tmp_path, monkeypatch):
    monkeypatch.setattr("sah_jax.tasks.datasets.nllb._ROWS", 2)
    lines(tmp_path / "nllb" / "eng_Latn-fra_Latn.tsv", [f"Go {one}.\tVa {one} !\tme" for one in range(3)])
    assert [row["en"] for row in _rows(tmp_path, "nllb", "train")] == ["Go 0.", "Go 1."]


@pytest.mark.parametrize("row, sentence", [
    ("one\tun", r"tsv:2: got 2 columns, expected 3 \(English, French, attribution\) or NLLB's 9"),
    ("one\tun\t", r"tsv:2: the attribution is empty"),
    ("one\t \ttatoeba", r"tsv:2: fr is empty"),
    ("the end of the day is\tthe end of this\ttatoeba", r"tsv:2: got English"),
])
def test_nllb_rows_that_are_wrong(tmp_path, row, sentence):
    lines(tmp_path / "eng_Latn-fra_Latn.tsv", [f"Go.\tVa !\t{ATTRIBUTION}", row])
    _refused(tmp_path, "nllb", sentence)


def test_ifeval_keeps_arguments_as_json(tmp_path):
    jsonl(tmp_path / "ifeval" / "input_data.jsonl", [IFEVAL, {**IFEVAL, "key": 2**40}])
    first, second = _rows(tmp_path, "ifeval", "test")
    assert {**first, "kwargs": json.loads(first["kwargs"])} == IFEVAL
    assert second["key"] == 2**40
    assert type(first["key"]) is int and type(first["instruction_id_list"]) is list


@pytest.mark.parametrize("change, sentence", [
    ({}, r"jsonl:2: has the same key \(1000\) as .*jsonl:1"),
    ({"key": "1"}, "jsonl:2: key is '1', expected a whole number"),
    ({"key": 1, "kwargs": [{}]}, r"jsonl:2: got the instructions .*'\] and 1 kwargs, expected at"),
    ({"key": 1, "instruction_id_list": [], "kwargs": []}, r"jsonl:2: got the instructions \[\] and 0"),
    ({"key": 1, "prompt": ""}, "jsonl:2: prompt is empty"),
])
def test_ifeval_rows_that_are_wrong(tmp_path, change, sentence):
    jsonl(tmp_path / "input_data.jsonl", [IFEVAL, {**IFEVAL, **change}])
    _refused(tmp_path, "ifeval", sentence)


def test_ifeval_training_turns_as_texts_or_messages(tmp_path):
    jsonl(tmp_path / "ifeval_train.jsonl", [
        {"conversations": ["Hi", "Hello."]},
        {"conversations": [{"role": "user", "content": "Hi"}, "Good day."],
         "instruction_id_list": [NUM_WORDS], "kwargs": [{"num_words": 3}]}])
    untold = {"instruction_id_list": [], "kwargs": "[]"}
    assert _rows(tmp_path, "ifeval_train", "train") == [
        {"conversations": ["Hi", "Hello."], **untold},
        {"conversations": ["Hi", "Good day."], "instruction_id_list": [NUM_WORDS],
         "kwargs": '[{"num_words": 3}]'}]


@pytest.mark.parametrize("turns, sentence", [
    (["Hi"], "jsonl:2: got 1 turns in conversations, expected two texts"),
    (["Hi", 3], "expected two texts"),
    (["Hi", ""], "jsonl:2: the answer is empty"),
    (["Hi", "Hello."], "jsonl:2: has the same conversation"),
])
def test_ifeval_training_rows_that_are_wrong(tmp_path, turns, sentence):
    jsonl(tmp_path / "ifeval_train.jsonl", [{"conversations": ["Hi", "Hello."]}, {"conversations": turns}])
    _refused(tmp_path, "ifeval_train", sentence)


def test_ifeval_training_rows_whose_instructions_are_wrong(tmp_path):
    row = {"conversations": ["Hi", "Hello."], "instruction_id_list": [NUM_WORDS], "kwargs": []}
    jsonl(tmp_path / "ifeval_train.jsonl", [row])
    _refused(tmp_path, "ifeval_train", r"jsonl:1: got the instructions \['length.*'\] and 0 kwargs")


def test_ifeval_training_data_is_not_downloaded(tmp_path):
    with pytest.raises(errors.UserError, match="ifeval_train: is published nowhere; give manual_dir"):
        datasets.prepare("ifeval_train", tmp_path)


def test_esnli_from_both_shapes(tmp_path):
    jsonl(tmp_path / "esnli" / "test.jsonl.gz", [ESNLI, {**ESNLI, "label": 2}])
    write(tmp_path / "esnli" / "esnli_train_1.csv",
          CSV_HEADER + 'a,neutral,P1,"H, one",E1\nb,-,P2,H2,E2\n')
    write(tmp_path / "esnli" / "esnli_train_2.csv", CSV_HEADER + "c,entailment,P3,H3,E3\n")
    assert _rows(tmp_path, "esnli", "test") == [ESNLI, {**ESNLI, "label": 2}]
    none = {"explanation_2": "", "explanation_3": ""}
    assert _rows(tmp_path, "esnli", "train") == [
        {"premise": "P1", "hypothesis": "H, one", "label": 1, "explanation_1": "E1", **none},
        {"premise": "P3", "hypothesis": "H3", "label": 0, "explanation_1": "E3", **none}]
    rows = datasets.rows("esnli", "train", data_dir=tmp_path / "prepared", manual_dir=tmp_path)
    assert rows.left_out == 1 and type(rows[0]["label"]) is int
    with pytest.raises(errors.UserError, match="has no split 'validation'"):
        _rows(tmp_path, "esnli", "validation")


@pytest.mark.parametrize("change, sentence", [
    ({"label": 3}, "gz:2: label is 3, expected one of entailment, neutral, contradiction or 0, 1, 2"),
    ({"label": "yes"}, "gz:2: label is 'yes', expected one of"),
    ({"label": None}, "gz:2: label is None, expected"),
    ({"label": True}, "gz:2: label is True, expected"),
    ({"premise": ""}, "gz:2: premise is empty"),
    ({"explanation_1": " "}, "gz:2: explanation_1 is empty"),
    ({"explanation_2": 3}, "gz:2: explanation_2 is 3, expected a text"),
    ({}, "gz:2: has the same row .*gz:1, expected each once"),
])
def test_esnli_rows_that_are_wrong(tmp_path, change, sentence):
    jsonl(tmp_path / "test.jsonl.gz", [ESNLI, {**ESNLI, **change}])
    _refused(tmp_path, "esnli", sentence)


def test_a_pair_of_esnli_comes_once(tmp_path):
    write(tmp_path / "esnli" / "esnli_test.csv", CSV_HEADER + "a,neutral,P,H,E\nb,neutral,P,H,E\n")
    assert len(_rows(tmp_path, "esnli", "test")) == 2
    write(tmp_path / "esnli" / "esnli_test.csv", CSV_HEADER + "a,neutral,P,H,E\na,entailment,Q,I,F\n")
    with pytest.raises(errors.UserError, match=r"csv:3: has the same pairID \(a\) as .*csv:2"):
        _rows(tmp_path, "esnli", "test")


def test_half_of_esnli_is_not_taken_for_all_of_it(tmp_path):
    write(tmp_path / "esnli" / "esnli_train_1.csv", CSV_HEADER + "a,neutral,P,H,E\n")
    _refused(tmp_path, "esnli", r"esnli_train_2\.csv: is missing, expected it beside esnli_train_1\.csv")


REAL = {
    "esnli": {"validation": 9_842, "test": 9_824}, "flores": {"dev": 997, "devtest": 1_012},
    "gsm8k": {"train": 7_473, "test": 1_319}, "ifeval": {"test": 541}, "metamathqa": {"train": 15},
    "nllb": {"train": 5_000}}


@pytest.mark.parametrize("name", REAL)
def test_the_real_files_are_the_published_ones_and_whole(shared_data, tmp_path, name):
    said = []
    folder = datasets.prepare(name, tmp_path, shared_data, said.append)
    splits = datasets.splits(folder)
    assert {split: len(rows) for split, rows in splits.items()} == REAL[name]
    assert not any(rows.left_out for rows in splits.values())
    # The fifteen rows of MetaMathQA are the only ones that are no published file.
    assert any("not the published file" in line for line in said) == (name == "metamathqa")
    if name == "esnli":
        assert {row["label"] for row in splits["test"][:100]} == {0, 1, 2}


def test_gsm8k_answers_end_with_a_number(tmp_path):
    jsonl(tmp_path / "gsm8k" / "test.jsonl", [GSM8K[0], {"question": "Why?", "answer": "18"}])
    _refused(tmp_path, "gsm8k", "test.jsonl:2: has the answer '18', expected one that ends with ####")


def test_bad_rows_of_mined_pairs_are_left_out_whoever_fetched_them(tmp_path):
    pair = ("The dog is here.", "Le chien est ici.", *"1234567")
    same = ("The same on both sides here.",) * 2
    rows = [pair, (*same, *"1234567"), pair, ("A cat.", "Un chat.", *"1234567"), ("", "Vide.", *"1234567")]
    lines(tmp_path / "nllb" / "eng_Latn-fra_Latn.tsv", ["\t".join(row) for row in rows])
    assert [row["en"] for row in _rows(tmp_path, "nllb", "train")] == ["The dog is here.", "A cat."]


@pytest.mark.parametrize("kwargs, sentence", [
    ([1], "jsonl:1: got 1 among the kwargs"), ([{"foo": 3}], "takes no such ones"),
    ([{"num_words": "ten"}], "takes no such ones")])
def test_ifeval_arguments_are_those_of_their_instructions(tmp_path, kwargs, sentence):
    pytest.importorskip("lm_eval", reason="IFEval's checkers are the extra `lm_eval`")
    row = {"key": 1, "prompt": "Write.", "instruction_id_list": [NUM_WORDS], "kwargs": kwargs}
    jsonl(tmp_path / "ifeval" / "input_data.jsonl", [row])
    _refused(tmp_path, "ifeval", sentence)
