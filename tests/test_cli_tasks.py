"""Commands on tasks: what they print, and what a user gets wrong."""

from dataset_files import GSM8K, gsm8k

from sah_jax import cli


def _sah(*arguments) -> int:
    return cli.main([str(argument) for argument in arguments])


def test_data_prepares_and_says_what_there_is(tmp_path, capfd):
    flags = f"--data_dir={tmp_path / 'data'}", f"--manual_dir={gsm8k(tmp_path / 'files')}"
    assert _sah("data", "gsm8k", *flags) == 0
    first = capfd.readouterr()
    lines = first.out.splitlines()
    assert lines[0].startswith("train: reading ") and lines[1].startswith("test: reading ")
    assert lines[2].startswith("train: 3 rows, ") and lines[2].endswith(" bytes, 0 left out")
    assert lines[3].startswith("test: 2 rows, ")
    folder = tmp_path / "data" / "sah_gsm8k"
    assert lines[4].startswith(f"gsm8k: {folder}") and first.err == ""
    assert _sah("data", "gsm8k", *flags) == 0
    assert capfd.readouterr().out.splitlines() == lines[2:]


def test_data_tells_in_one_sentence_what_is_wrong(tmp_path, capfd):
    files = gsm8k(tmp_path / "files", test=[GSM8K[0], {"question": "Why?", "answer": ""}])
    assert _sah("data", "gsm8k", f"--data_dir={tmp_path}", f"--manual_dir={files}") == cli.USER_ERROR
    error = capfd.readouterr().err
    assert error.startswith(f"sah data: {files}/gsm8k/test.jsonl:2: answer is empty")
    assert error.count("\n") == 1
    for arguments in ((), ("gsm",), ("gsm8k", "--nothing=1")):
        assert _sah("data", *arguments, f"--data_dir={tmp_path}") == cli.USER_ERROR
        assert capfd.readouterr().err.count("\n") == 1
