"""scripts/tpu_pod.sh: the commands it would run, and what it refuses."""

import os
import pathlib
import shlex
import subprocess

import pytest

ROOT = pathlib.Path(__file__).parents[1]
PLACE = ["--project=p", "--zone=z"]


def _dry(*arguments, given="", **environment):
    environment = os.environ | {"DRY_RUN": "1", "PROJECT": "p", "ZONE": "z"} | environment
    return subprocess.run(
        [ROOT / "scripts/tpu_pod.sh", *arguments], input=given, capture_output=True, text=True, check=False,
        env=environment)


@pytest.mark.parametrize("slice_name, kind, version", [
    ("v5e:4x4", "v5litepod-16", "v2-alpha-tpuv5-lite"), ("v5p:2x2x2", "v5p-16", "v2-alpha-tpuv5"),
    ("v6e:8x8", "v6e-64", "v2-alpha-tpuv6e")])
def test_a_slice_is_made_by_the_name_that_google_gives_it(slice_name, kind, version):
    done = _dry("create", "mine", slice_name, OPTIONS="--spot")
    assert shlex.split(done.stdout) == [
        "gcloud", "compute", "tpus", "tpu-vm", "create", "mine", f"--accelerator-type={kind}",
        f"--version={version}", "--spot", *PLACE]


def test_a_study_starts_on_all_hosts_with_its_flags_unharmed():
    words = shlex.split(_dry("study", "mine", "configs/demo.py", "--config.tasks=('a b',)").stdout)
    assert words[:7] == ["gcloud", "compute", "tpus", "tpu-vm", "ssh", "mine", "--worker=all"]
    remote = shlex.split(words[7].removeprefix("--command="))
    assert "(SAH_COORDINATOR=auto" in remote and "--config=configs/demo.py" in remote
    assert "--config.tasks=('a b',)" in remote


def test_a_workload_installs_what_a_tpu_needs_and_runs_the_study():
    words = shlex.split(_dry("xpk", "cluster", "mine", "v5e:4x4", "configs/demo.py").stdout)
    assert words[:3] == ["xpk", "workload", "create"] and "--tpu-type=v5litepod-16" in words
    (command,) = [word for word in words if word.startswith("--command=")]
    assert ".[tpu]" in command and "python -m sah_jax study" in command


def test_nothing_is_deleted_unless_its_name_is_typed():
    for given in ("", "yes\n", "y\n"):
        refused = _dry("delete", "mine", given=given)
        assert refused.returncode and "gcloud" not in refused.stdout
    assert "delete mine" in _dry("delete", "mine", given="mine\n").stdout


@pytest.mark.parametrize("arguments, said", [
    (("create", "mine", "v5litepod-16"), "such as v5e:4x4"), (("create", "mine"), "NAME and SLICE"),
    (("study", "mine", "configs/none.py"), "no file of this repository"), (("start",), "is no command")])
def test_what_it_cannot_do_is_said_in_a_line(arguments, said):
    done = _dry(*arguments)
    assert done.returncode == 2 and said in done.stderr and not done.stdout


def test_it_says_what_to_set():
    done = _dry("logs", "mine", ZONE="")
    assert done.returncode == 2 and "PROJECT and ZONE" in done.stderr
