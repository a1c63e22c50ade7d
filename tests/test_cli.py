"""The command line: what a user gets wrong is one sentence and exit code 2."""

import csv
import dataclasses
import json
import pathlib
import shutil
import subprocess
import sys

import orders
import pytest

from sah_jax import cli
from sah_jax.models import base as base_lib
from sah_jax.studies import rows, sidecar

ROOT = pathlib.Path(__file__).parents[1]
CONFIG = """
import ml_collections

def get_config():
    return ml_collections.ConfigDict({
        "models": ("nano",), "dtype": "float32", "tasks": ("nano_math",),
        "families": {"urial": ({},)}, "seeds": (0,), "num_selection": 4, "num_test": 4,
        "selection": "selection", "check": False})
"""


def _sah(*arguments, **options) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "sah_jax", *map(str, arguments)], capture_output=True, text=True,
        check=False, cwd=ROOT, **options)


@pytest.fixture(scope="module")
def study(tmp_path_factory) -> pathlib.Path:
    """The workdir of a small study, made by the command line."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "config.py").write_text(CONFIG)
    done = _sah("study", f"--config={folder / 'config.py'}", f"--workdir={folder / 'work'}")
    assert done.returncode == 0, done.stderr
    assert "verified" in done.stdout and "report.html" in done.stdout
    return folder / "work"


@pytest.fixture
def program(study, tmp_path) -> pathlib.Path:
    """A copy of the study's program with its sidecar."""
    source = next(study.glob("points/*")) / sidecar.PROGRAM_NAME
    shutil.copytree(source.parent, tmp_path / "point")
    return tmp_path / "point" / sidecar.PROGRAM_NAME


def _refused(capsys, *arguments) -> str:
    """Runs a command that must be refused; returns its one sentence."""
    assert cli.main([str(argument) for argument in arguments]) == cli.USER_ERROR
    captured = capsys.readouterr()
    assert captured.err.startswith(f"sah {arguments[0]}: ") and captured.err.count("\n") == 1
    assert "Traceback" not in captured.err
    return captured.err


def test_study_writes_rows_and_report(study):
    (row,) = rows.read_rows(study / "results.jsonl")
    assert row.verified and row.experiment_name == "urial"
    assert {path.name for path in (study / "report").iterdir()} == {
        "report.html", "frontier.png", "frontier.pdf", "frontier.svg", "frontier.json", "derived.json",
        "complexity.csv", "complexity.tex", "shares.tex"}


def test_verify_accepts_a_study_and_a_program(study, capsys):
    assert cli.main(["verify", str(study)]) == 0
    assert capsys.readouterr().out.strip().endswith(": verified")


def test_inspect_prints_a_ledger_that_sums_to_the_file(program, capsys):
    assert cli.main(["inspect", str(program)]) == 0
    from_sidecar = capsys.readouterr().out
    assert f"{8 * program.stat().st_size:,}" in from_sidecar and "prompt" in from_sidecar
    assert cli.main(["inspect", str(program), "--model=nano"]) == 0
    assert capsys.readouterr().out == from_sidecar


def test_run_answers_prompts_from_standard_input(program):
    done = _sah("run", program, "--model=nano", "--max_new_tokens=5",
                input="Question: Ann has 3 pears. How many?\\nAnswer:\nTom\n")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 2


def test_rebuild_prints_a_json_object_for_each_program_of_a_folder(program, tmp_path):
    data = program.read_bytes()
    orders.write(tmp_path, {"whole": data, "cut": data[:-9]})
    whole, cut = orders.answers(_sah("rebuild", tmp_path).stdout)
    assert whole["bits"] == 8 * len(data) and whole["scores"].keys() == {"test"}
    assert cut.get("adapted_digest") != whole["adapted_digest"]


def test_unknown_command_and_missing_flags(capsys):
    assert "choose one of study" in _refused(capsys, "studdy")
    assert "--config and --workdir are both needed" in _refused(capsys, "study")
    assert "--model is needed" in _refused(capsys, "run", "x.sah")
    assert "expected PROGRAM" in _refused(capsys, "inspect")
    assert "nosuchflag" in _refused(capsys, "report", "x", "--nosuchflag=1")


def test_config_mistakes_are_named(study, tmp_path, capsys):
    config, workdir = study.parent / "config.py", tmp_path / "work"
    assert "num_tset" in _refused(
        capsys, "study", f"--config={config}", "--config.num_tset=3", f"--workdir={workdir}")
    assert "nothing.py" in _refused(
        capsys, "study", "--config=nothing.py", f"--workdir={workdir}")
    (tmp_path / "broken.py").write_text("def get_config(:\n")
    assert "syntax" in _refused(
        capsys, "study", f"--config={tmp_path / 'broken.py'}", f"--workdir={workdir}")
    assert not workdir.exists()


def test_missing_folders_and_files_are_named(tmp_path, capsys):
    assert "nothing" in _refused(capsys, "report", tmp_path / "nothing")
    assert "holds no points" in _refused(capsys, "verify", tmp_path)
    assert "cannot be read" in _refused(capsys, "run", tmp_path / "no.sah", "--model=nano")
    assert "holds no programs to rebuild" in _refused(capsys, "rebuild", tmp_path)


def test_workdir_that_cannot_be_made_is_named(study, tmp_path, capsys):
    (tmp_path / "file").write_text("")
    assert "cannot be made" in _refused(
        capsys, "study", f"--config={study.parent / 'config.py'}", f"--workdir={tmp_path / 'file' / 'work'}")


def test_altered_programs_are_named(program, capsys):
    program.write_bytes(program.read_bytes()[:-1])
    for command in (("run", program, "--model=nano"), ("inspect", program), ("verify", program)):
        assert "truncated or altered" in _refused(capsys, *command)


def test_another_base_model_is_named(program, capsys):
    for command in ("run", "inspect"):
        assert "give the model it was made for" in _refused(capsys, command, program, "--model=nano-step0")


def test_another_tokenizer_is_another_base_model(program, tmp_path, capsys):
    folder = tmp_path / "nano"
    shutil.copytree(base_lib.SHIPPED / "nano", folder)
    vocabulary = json.loads((folder / "tokenizer.json").read_text())
    merges = vocabulary["model"]["merges"]
    merges[0], merges[1] = merges[1], merges[0]
    (folder / "tokenizer.json").write_text(json.dumps(vocabulary))
    assert "give the model it was made for" in _refused(capsys, "run", program, f"--model={folder}")


def test_a_row_that_claims_another_score_is_refuted(study, tmp_path, capsys):
    workdir = tmp_path / "work"
    shutil.copytree(study, workdir)
    (row,) = rows.read_rows(workdir / "results.jsonl")
    rows.write_rows(workdir / "results.jsonl", [
        dataclasses.replace(row, performance=1.0, selection_performance=1.0)])
    for command in ("report", "verify"):
        assert "performance is 1.0 in the row" in _refused(capsys, command, workdir)


def test_a_lost_program_is_made_again(study, tmp_path):
    workdir = tmp_path / "work"
    shutil.copytree(study, workdir)
    (row,) = rows.read_rows(workdir / "results.jsonl")
    (workdir / row.program).unlink()
    done = _sah("study", f"--config={study.parent / 'config.py'}", f"--workdir={workdir}")
    assert done.returncode == 0, done.stderr
    assert (workdir / row.program).read_bytes() == (study / row.program).read_bytes()


def test_odd_bytes_on_standard_input_are_no_traceback(program):
    done = subprocess.run(
        [sys.executable, "-m", "sah_jax", "run", program, "--model=nano", "--max_new_tokens=2"],
        input=b"\xff\xfe\n", capture_output=True, check=False, cwd=ROOT)
    assert done.returncode == 0 and b"Traceback" not in done.stderr


def test_no_sidecar_is_said(program):
    sidecar.path_for(program).unlink()
    done = _sah("run", program, "--model=nano", "--max_new_tokens=2", input="Tom\n")
    assert done.returncode == 0 and "has no sidecar" in done.stderr


def test_what_is_no_file_is_refused(capsys):
    assert "is not a file of at most" in _refused(capsys, "inspect", "/dev/zero", "--model=nano")


@pytest.fixture(scope="module")
def coded(tmp_path_factory) -> pathlib.Path:
    """A folder with texts, their file and its reports, made by the command line."""
    folder = tmp_path_factory.mktemp("coded")
    lines = [{"q": "Tom has 12 pears.", "a": " He buys 9."}, {"q": "", "a": ""}, {"q": "x", "a": "y" * 600}]
    (folder / "texts.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    done = _sah("codelength", folder / "texts.jsonl", "--field=q+a", "--model=nano", "--batch_size=2",
                f"--emit={folder / 'texts.sah'}", f"--out={folder / 'out'}", "--verify")
    assert done.returncode == 0, done.stderr
    return folder


def test_codelength_reports_the_file_it_wrote(coded):
    numbers = json.loads((coded / "out" / "codelength.json").read_text())
    size = 8 * (coded / "texts.sah").stat().st_size
    assert numbers["emitted_bits"] == size == sum(entry["bits"] for entry in numbers["ledger"])
    assert (numbers["texts"], numbers["verified"]) == (3, True)
    assert {path.name for path in (coded / "out").iterdir()} == {
        "codelength.html", "codelength.json", "texts.csv", "tokens.csv"}
    assert json.loads((coded / "texts.json").read_text())["bits"] == size


def test_decode_prints_the_texts_under_the_model_that_coded_them(coded, capsys):
    assert cli.main(["decode", str(coded / "texts.sah"), "--model=nano"]) == 0
    printed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert printed == ["Tom has 12 pears. He buys 9.", "", "x" + "y" * 600]
    assert "was made for the base model nano" in _refused(
        capsys, "decode", coded / "texts.sah", "--model=nano-step0")
    assert "--model is needed" in _refused(capsys, "decode", coded / "texts.sah")


def test_texts_are_decoded_under_the_program_they_were_coded_under(coded, program, tmp_path, capsys):
    path, given = str(tmp_path / "under.sah"), ["--model=nano", f"--program={program}"]
    assert cli.main(["codelength", str(coded / "texts.jsonl"), "--field=q", "--num=2",
                     f"--emit={path}", "--verify", *given]) == 0
    capsys.readouterr()
    assert cli.main(["decode", path, *given]) == 0
    assert capsys.readouterr().out.splitlines() == ['"Tom has 12 pears."', '""']
    assert "set --program" in _refused(capsys, "decode", path, "--model=nano")


@pytest.mark.parametrize("by", ["field", "example", "token"])
def test_inspect_shows_texts_with_and_without_a_model(coded, by, capsys):
    size, found = 8 * (coded / "texts.sah").stat().st_size, []
    for model in ([], ["--model=nano"]):
        assert cli.main(["inspect", str(coded / "texts.sah"), f"--by={by}", "--json=-", *model]) == 0
        found.append(json.loads(capsys.readouterr().out))
    assert found[0] == found[1]
    assert sum(part["bits"] for part in found[0]["parts"]) == found[0]["bits"] == size
    names = [part["name"] for part in found[0]["parts"]]
    if by == "example":
        # The third text takes two rows, and is one example.
        assert [name for name in names if "example" in name] == ["example 0", "example 1", "example 2"]
    if by == "token":
        assert len(names) == len(set(names))
        assert max(int(name.split()[-1]) for name in names if name.startswith("example 2")) > 511


@pytest.mark.parametrize("by, first", [("token", "prompt, token 0"), ("field", "version")])
def test_inspect_writes_views_of_a_program(program, tmp_path, by, first):
    path = tmp_path / "parts.csv"
    assert cli.main(["inspect", str(program), f"--by={by}", f"--csv={path}"]) == 0
    with open(path, newline="") as stream:
        lines = list(csv.DictReader(stream))
    assert first in {line["name"] for line in lines}
    assert sum(int(line["bits"]) for line in lines) == 8 * program.stat().st_size


def test_what_codelength_cannot_do_is_named(coded, tmp_path, capsys):
    source = coded / "texts.jsonl"
    assert "has no text 'text'" in _refused(capsys, "codelength", source, "--model=nano")
    assert "--emit and --verify cannot" in _refused(
        capsys, "codelength", source, "--field=q", "--model=nano", "--fast", "--verify")
    assert "expected a file name" in _refused(
        capsys, "codelength", source, "--field=q", "--model=nano", f"--emit={tmp_path / 'a.json'}")
    assert "holds texts, expected a program" in _refused(capsys, "run", coded / "texts.sah", "--model=nano")
    assert "holds texts, expected a program" in _refused(capsys, "verify", coded / "texts.sah")


def test_a_failed_verification_is_an_error(coded, capsys, monkeypatch):
    from sah_jax.studies import codelength, verification

    monkeypatch.setattr(
        codelength, "comes_back", lambda *_: verification.Verdict(False, "the machine is on fire"))
    said = _refused(
        capsys, "codelength", coded / "texts.jsonl", "--field=q", "--num=1", "--model=nano", "--verify")
    assert "the machine is on fire" in said


def test_a_phase_is_make_or_nothing(capsys, tmp_path):
    (tmp_path / "config.py").write_text(CONFIG)
    assert "--phase=verify" in _refused(
        capsys, "study", f"--config={tmp_path / 'config.py'}", f"--workdir={tmp_path}", "--phase=verify")


def test_plan_compiles_for_simulated_devices(tmp_path, capsys):
    path = tmp_path / "plans.json"
    assert cli.main(["plan", "nano", "--device-count=2", "--batch=4", "--length=8", "--step=decode",
                     "--mesh=data=2", f"--json={path}"]) == 0
    text = capsys.readouterr().out
    assert "cpu:2" in text and "data=2" in text and "simulated" in text
    (plan,) = json.loads(path.read_text())
    assert plan["step"] == "decode" and plan["mesh"] == {"data": 2, "fsdp": 1, "tensor": 1}
    assert plan["fits"] is None and plan["flops"] > 0 and plan["setting"]["batch"] == 4


@pytest.mark.parametrize("arguments, said", [
    ((), "exactly one of --topology, --smallest and --device-count"),
    (("--topology=v5e:4x4", "--smallest=v5e"), "exactly one of"),
    (("--topology=v5litepod-16",), "expected GENERATION:SHAPE"),
    (("--smallest=v9",), "expected one of v5e, v5p, v6e"),
    (("--smallest=v5e", "--mesh=data=2"), "leave one out"),
    (("--device-count=2", "--mesh=model=2"), "sizes of data, fsdp, tensor"),
    (("--device-count=2", "--step=train"), "lora, prefix, codelength, decode, all"),
    (("--device-count=2", "--remat=half"), "none, dots, full"),
    (("--device-count=2", "--step=decode", "--mesh=data=3"), "there are 2")])
def test_plan_refuses_what_it_cannot_compile(capsys, arguments, said):
    assert said in _refused(capsys, "plan", "nano", *arguments)


def test_plan_wants_a_model(capsys):
    assert "is not a folder" in _refused(capsys, "plan", "nowhere", "--device-count=2")
