"""Verification: whatever a rebuilt program does otherwise than its sidecar says is named."""

import dataclasses
import json

import pytest

from sah_jax import errors, numerics
from sah_jax.studies import rows, sidecar, verification
from sah_jax.tasks import predictions

DATA = b"a program"
LAYERS = [{"name": f"layer {layer}", "bits": 36, "ideal_bits": 35.25} for layer in range(2)]
SAMPLES = [{"prompt": f"{number}?", "answer": f"{number}", "response": f"It is {number}."} for number in "78"]
PREDICTIONS = predictions.write([sample["response"] for sample in SAMPLES])
PREDICTED = sidecar.file_digest(PREDICTIONS.encode())
FITTING = {
    "base_name": "nano", "base_digest": "cd", "family": "baseline", "adapted_digest": "ab",
    "bits": 72, "ideal_bits": 70.5, "portable": True, "unchanged": False, "num_params": 900,
    "widths": {"q/a": [2, 4], "q/b": [0, 8]},
    "ledger": [["family", 8], ["termination", 64]],
    "scores": {"selection": [0.5, 0.1], "test": [0.25, 0.2]},
    "task_digest": "ef", "data": {"items": "12", "rule": "34"},
    "predictions_sha256": {"selection": "00", "test": PREDICTED}, "samples": SAMPLES,
    "views": {"layer": LAYERS, "tensor": LAYERS[:1]},
}


def _record() -> dict:
    return {
        "family": "baseline", "bits": 72, "ideal_bits": 70.5, "adapted_digest": "ab",
        "portable": True, "unchanged": False,
        "ledger": [{"field": "family", "bits": 8, "ideal_bits": 7.5},
                   {"field": "termination", "bits": 64, "ideal_bits": 0.0}],
        "program_sha256": sidecar.file_digest(DATA), "setting": {}, "seed": 0,
        "base": {
            "name": "nano", "source": "nano", "digest": "cd", "dtype": "float32", "num_params": 900},
        "widths": {"q/a": [2, 4], "q/b": [0, 8]},
        "profile": numerics.profile("float32"),
        "scores": {
            "task": "nano_math", "task_digest": "ef", "data": {"items": "12", "rule": "34"},
            "num_test": 2, "performance": 0.25, "performance_stderr": 0.2,
            "selection_split": "selection", "num_selection": 3, "selection_performance": 0.5,
            "selection_stderr": 0.1, "predictions_sha256": PREDICTED},
        "samples": SAMPLES, "views": {"layer": LAYERS, "tensor": LAYERS[:1]},
    }


def _write(folder, record):
    sidecar.write_folder(folder, DATA, record, PREDICTIONS)


@pytest.fixture
def verify(tmp_path, monkeypatch):
    """Verifies a program whose fresh process says what it is told to."""
    _write(tmp_path / "point", _record())

    def answer(said: dict | None, complaint: str = "") -> verification.Verdict:
        def lines(command, target, files, arguments, environment):
            (order,) = json.loads(files[verification.ORDERS_NAME])
            answer.order, answer.environment = order, environment
            assert command == "rebuild" and not target and not arguments
            # The base model, what to score, and the file; nothing of what is expected.
            assert set(order) == {"model", "computed", "task", "splits", "program"}
            assert set(files) == {verification.ORDERS_NAME, order["program"]}
            assert files[order["program"]] == DATA
            yield "a library says hello\n"
            yield verification.MARK + "{}\n"
            if said is not None:
                yield verification.MARK + json.dumps(said) + "\n"
            if complaint:
                raise errors.UserError(complaint)

        monkeypatch.setattr(verification.fresh, "lines", lines)
        return verification.verify("nano", tmp_path / "point" / sidecar.PROGRAM_NAME)

    return answer


def _said(**changes) -> dict:
    return {**FITTING, "profile": numerics.profile("float32"), **changes}


def test_a_program_that_does_what_its_sidecar_says_is_verified(verify):
    assert verify(_said()) == verification.Verdict(True)
    assert verify.order == {
        "model": "nano", "computed": {"dtype": "float32", "remat": "none"}, "task": "nano_math",
        "splits": {"selection": 3, "test": 2}, "program": "0.sah"}
    # Under the profile that the file was written under.
    assert verify.environment.items() >= {"NPROC": "1", "JAX_ENABLE_X64": "False"}.items()


def test_other_data_are_named(verify):
    said = verify(_said(task_digest="99", data={"items": "12", "rule": "56"}))
    assert said == verification.Verdict(
        False, "the data of nano_math are others than it was scored on: rule")


def test_a_fresh_process_computes_the_model_as_the_writer_did(tmp_path, monkeypatch):
    placed = {"mesh": "data=2,fsdp=1,tensor=1", "decode_mesh": "data=1,fsdp=1,tensor=2", "remat": "dots",
              "quantization": "int8"}
    record = _record() | {"profile": {**numerics.profile("float32"), **placed}}
    _write(tmp_path / "point", record)
    told = []
    monkeypatch.setattr(verification.fresh, "lines", lambda *given: told.append(given) or iter(()))
    verification.verify_together([("", tmp_path / "point" / sidecar.PROGRAM_NAME)], print, {"A": "b"})
    ((*_, files, _, environment),) = told
    (order,) = json.loads(files[verification.ORDERS_NAME])
    assert order["computed"] == {"dtype": "float32", **placed} and order["model"] == "nano"
    assert environment == {"A": "b"}
    assert sorted(verification.placement_flags(record["profile"])) == sorted(
        f"--{name}={value}" for name, value in placed.items())


def test_the_model_that_is_given_counts_and_texts_are_no_programs(tmp_path, monkeypatch):
    program = tmp_path / "point" / sidecar.PROGRAM_NAME
    _write(program.parent, _record())
    told = []
    monkeypatch.setattr(verification.fresh, "lines", lambda *given: told.append(given) or iter(()))
    verification.verify_together([("elsewhere", program)], print, {})
    assert json.loads(told[0][2][verification.ORDERS_NAME])[0]["model"] == "elsewhere"
    _write(program.parent, _record() | {"family": sidecar.TEXTS, "tokens_digest": "ab"})
    verdict = verification.verify("nano", program)
    assert not verdict.verified and "holds texts, expected a program" in verdict.reason


ACCOUNTS = {"wall_time_s": 1.5, "train_flops": 2, "decode_flops": 3, "query_flops": 4, "reference_bits": 5}
_ROW = {
    "point": "p", "program": "points/p/program.sah", "script_bits": 2952, "verified": True, **ACCOUNTS,
    "experiment_name": "baseline", "dataset_name": "nano_math", "model_name": "nano", "performance": 0.25,
    "bits": 72, "seed": 0, "strategy_hparams": {}, "program_sha256": sidecar.file_digest(DATA),
    "portable": True, "unchanged": False,
    "ideal_bits": 70.5, "performance_stderr": 0.2, "num_scored": 2, "selection_split": "selection",
    "selection_performance": 0.5, "selection_stderr": 0.1, "selection_num_scored": 3, "adapted_digest": "ab",
    "base_digest": "cd", "task_digest": "ef",
    "numerics_digest": numerics.digest(numerics.profile("float32"))}


@pytest.mark.parametrize("key, value", [
    ("experiment_name", "lora"), ("dataset_name", "ifeval"), ("model_name", "SmolLM3-3B"),
    ("performance", 1.0), ("bits", 8), ("seed", 1), ("strategy_hparams", {"rank": 1}),
    ("program_sha256", "0" * 64),
    ("ideal_bits", 1.0), ("performance_stderr", 0.0), ("num_scored", 1319), ("selection_split", "test"),
    ("selection_performance", 0.75), ("selection_stderr", 0.0), ("selection_num_scored", 2),
    ("adapted_digest", "ac"), ("base_digest", "ce"), ("numerics_digest", "0" * 64),
    ("task_digest", "ee"), ("portable", False), ("unchanged", True)])
def test_a_row_that_is_not_what_the_sidecar_says_is_named(key, value):
    assert verification.row_difference(rows.Row(**_ROW), _record()) == ""
    said = verification.row_difference(rows.Row(**{**_ROW, key: value}), _record())
    assert said == f"{key} is {value} in the row and {_ROW[key]} in the sidecar"


@pytest.mark.parametrize("key", sorted(ACCOUNTS))
def test_what_a_point_took_is_as_its_sidecar_says(key):
    record = _record() | {"accounts": ACCOUNTS}
    assert verification.row_difference(rows.Row(**_ROW), record) == ""
    row = rows.Row(**{**_ROW, key: ACCOUNTS[key] + 1})
    assert verification.row_difference(row, record) == (
        f"{key} is {ACCOUNTS[key] + 1} in the row and {ACCOUNTS[key]} in the sidecar")
    assert verification.row_difference(row, _record()) == ""  # an older one does not say it


def test_a_row_is_of_the_folder_of_its_program():
    row = rows.Row(**{**_ROW, "point": "q"})
    assert verification.row_difference(row, _record()) == (
        "point is q in the row and its program's folder is p")


def test_the_bits_of_scripts_are_those_of_the_family():
    row = rows.Row(**{**_ROW, "script_bits": 0})
    assert verification.row_difference(row, _record()) == (
        "script_bits is 0 in the row and 2952 for programs like this")
    lora = _record() | {"family": "lora", "unchanged": True}
    row = rows.Row(**{**_ROW, "experiment_name": "lora", "unchanged": True})
    assert verification.row_difference(row, lora) == ""
    assert "2952 for" in verification.row_difference(dataclasses.replace(row, script_bits=2832), lora)


@pytest.mark.parametrize("key, got", [
    ("base_name", "other"), ("base_digest", "ce"), ("family", "icl"), ("adapted_digest", "aa"),
    ("bits", 80), ("ideal_bits", 70.25), ("portable", False), ("unchanged", True), ("num_params", 901),
    # The same bits in all, elsewhere or under another name.
    ("ledger", [["family", 9], ["termination", 63]]), ("ledger", [["header", 8], ["termination", 64]]),
    ("ledger", [["termination", 64], ["family", 8]]), ("ledger", [["family", 8]]),
    ("scores", {"selection": [0.5, 0.1], "test": [0.5, 0.2]}),
    ("scores", {"selection": [0.5, 0.1], "test": [0.25, 0.1]}),
    ("scores", {"selection": [0.25, 0.1], "test": [0.25, 0.2]}),
    ("scores", {"selection": [0.5, 0.2], "test": [0.25, 0.2]}),
])
def test_whatever_differs_is_named(verify, key, got):
    verdict = verify(_said(**{key: got}))
    assert not verdict.verified
    assert verdict.reason == (
        f"{key} was {FITTING[key]} when the file was written and is {got} when it is read")


@pytest.mark.parametrize("widths, name, now", [
    ({"q/a": [2, 4], "q/b": [0, 16]}, "q/b", "[0, 16]"), ({"q/a": [2, 4]}, "q/b", "None"),
    ({"q/a": [4, 2], "q/b": [0, 8]}, "q/a", "[4, 2]"), ({}, "q/a", "None")])
def test_other_widths_are_named(verify, widths, name, now):
    assert verify(_said(widths=widths)).reason == (
        f"the bit widths of {name} were {FITTING['widths'][name]} when the file was written and are {now} "
        "when it is read")


def test_widths_that_the_file_has_not_are_named(verify):
    more = FITTING["widths"] | {"q/e": [2, 2]}
    assert verify(_said(widths=more)).reason.startswith("the bit widths of q/e were None when")


@pytest.mark.parametrize("views, name", [
    ({"layer": [LAYERS[0] | {"bits": 41}, LAYERS[1] | {"bits": 31}], "tensor": LAYERS[:1]}, "layer, part 0"),
    ({"layer": [LAYERS[0], LAYERS[1] | {"ideal_bits": 1.0}], "tensor": LAYERS[:1]}, "layer, part 1"),
    ({"layer": [LAYERS[0], LAYERS[1] | {"name": "x"}], "tensor": LAYERS[:1]}, "layer, part 1"),
    ({"layer": LAYERS}, "tensor, part 0"), ({"layer": LAYERS, "tensor": LAYERS}, "tensor, part 1"),
    ({"layer": LAYERS, "tensor": LAYERS[:1], "token": LAYERS}, "token, part 0")])
def test_bits_that_are_elsewhere_in_a_view_are_named(verify, tmp_path, views, name):
    _write(tmp_path / "point", _record() | {"views": views})
    said = verify(_said()).reason
    assert said.startswith(f"in the view by {name} was ") and said.endswith("when it is read")


def test_older_sidecars_claim_neither_widths_nor_views_nor_parameters(verify, tmp_path):
    record = _record()
    del record["widths"], record["views"], record["samples"], record["base"]["num_params"]
    _write(tmp_path / "point", record)
    assert verify(_said()) == verification.Verdict(True)


def test_other_responses_of_the_same_score_are_named(verify):
    verdict = verify(_said(predictions_sha256={"selection": "00", "test": "02"}))
    assert verdict.reason == "the responses to test items are others than when the file was written"
    assert verify(_said(predictions_sha256={"selection": "03", "test": PREDICTED})).verified


@pytest.mark.parametrize("samples", [
    [SAMPLES[0], SAMPLES[1] | {"prompt": "9?"}], [SAMPLES[0], SAMPLES[1] | {"answer": "9"}], SAMPLES[:1]])
def test_samples_of_other_items_are_named(verify, samples):
    said = verify(_said(samples=samples)).reason
    assert said.startswith("sample 1 was {'prompt': '8?', ") and said.endswith("when it is read")


def test_a_sidecar_may_show_fewer_samples(verify, tmp_path):
    _write(tmp_path / "point", _record() | {"samples": SAMPLES[:1]})
    assert verify(_said()) == verification.Verdict(True)
    assert verify(_said(samples=[SAMPLES[1]])).reason.startswith("sample 0 was")


def _forge_response(folder):
    forged = [SAMPLES[0] | {"response": "FORGED"}, SAMPLES[1]]
    _write(folder, _record() | {"samples": forged})


def _forge_predictions(folder):
    (folder / sidecar.PREDICTIONS_NAME).write_text(PREDICTIONS.replace("7", "9"))


@pytest.mark.parametrize("forge", [_forge_response, _forge_predictions])
def test_forged_responses_are_refuted_alone_and_together(verify, tmp_path, forge):
    forge(tmp_path / "point")
    said = verify(_said())
    assert not said.verified and "run the point again" in said.reason
    settled, program = [], tmp_path / "point" / sidecar.PROGRAM_NAME
    verification.verify_together([("", program)], lambda *one: settled.append(one), {})
    assert settled == [(0, said)]


@pytest.mark.parametrize("said", [_said(), None])
def test_a_process_that_fails_verifies_nothing(verify, said):
    assert verify(said, "it broke") == verification.Verdict(False, "it broke")


def test_what_a_process_could_not_rebuild_is_told_with_the_profile(verify):
    profile = {**numerics.profile("float32"), "processor": "Z80"}
    verdict = verify({"error": "the file is truncated.", "profile": profile})
    assert not verdict.verified
    assert verdict.reason.startswith("the file is truncated (of the numerics profile, processor was '")
    assert verify({"error": "there is no model."}) == verification.Verdict(False, "there is no model.")


@pytest.fixture
def together(tmp_path, monkeypatch):
    """Verifies three programs, the second without a sidecar, in a process that says what it is told to."""
    programs = [tmp_path / str(number) / sidecar.PROGRAM_NAME for number in range(3)]
    for program in programs:
        _write(program.parent, _record())
    sidecar.path_for(programs[1]).unlink()

    def answer(said: list[str]) -> tuple[list, bool]:
        settled = []
        monkeypatch.setattr(verification.fresh, "lines", lambda *_: iter(said))
        first = verification.verify_together(
            [("", program) for program in programs], lambda *verdict: settled.append(verdict), {})
        return settled, first

    return answer


def test_programs_that_are_verified_together_have_verdicts_of_their_own(together):
    marked = [verification.MARK + json.dumps(said) for said in ({}, _said(), _said(bits=80))]
    settled, first = together(marked)
    assert first and [number for number, _ in settled] == [1, 0, 2]
    verdicts = dict(settled)
    assert verdicts[0] == verification.Verdict(True)
    assert "has no sidecar" in verdicts[1].reason and verdicts[2].reason.startswith("bits was 72")
    # Where the process broke off, the last program has no verdict.
    assert [number for number, _ in together(marked[:2])[0]] == [1, 0]


def test_a_process_that_says_nothing_is_not_the_first_of_its_job(together):
    assert together([]) == ([], False)
