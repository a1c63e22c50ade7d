#!/usr/bin/env bash
# Runs a study on a slice of TPUs. Make a plan of the model first: `sah plan MODEL --topology=SLICE`.
#
#   scripts/tpu_pod.sh create NAME SLICE                     makes a TPU VM of the slice, such as v5e:4x4
#   scripts/tpu_pod.sh install NAME                          copies HEAD of this repository to all its hosts
#   scripts/tpu_pod.sh study NAME CONFIG [FLAG...]           starts `sah study` on all hosts; resumes one
#   scripts/tpu_pod.sh logs NAME                             shows how far it is
#   scripts/tpu_pod.sh fetch NAME FOLDER                     copies rows, programs and report here
#   scripts/tpu_pod.sh delete NAME                           deletes the TPU VM, once you have typed its name
#   scripts/tpu_pod.sh xpk CLUSTER NAME SLICE CONFIG [FLAG...]   the same study as an xpk workload on GKE
#
# PROJECT and ZONE name where; OPTIONS adds flags to `create` (--spot, --network=..., --reserved) or to
# `xpk`. With DRY_RUN=1 commands are printed and not run. CONFIG is a path in this repository.
set -euo pipefail

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)

fail() {
  printf 'tpu_pod: %s\n' "$*" >&2
  exit 2
}

usage() {
  sed -n '2,/^set /{/^#/s/^# \{0,1\}//p}' "${BASH_SOURCE[0]}"
}

run() {
  if [ "${DRY_RUN:-}" ]; then
    printf '%q ' "$@"
    printf '\n'
  else
    "$@"
  fi
}

# What Google calls a slice: v5e and v6e count chips, v5p counts its two cores a chip.
accelerator_type() {
  local generation=${1%%:*} shape=${1#*:} chips
  [[ $1 =~ ^v(5e|5p|6e):[0-9]+x[0-9]+(x[0-9]+)?$ ]] ||
    fail "the slice is '$1', expected one that sah plan takes, such as v5e:4x4 or v5p:2x2x1."
  chips=$((${shape//x/*}))
  case $generation in
    v5e) echo "v5litepod-$chips" ;;
    v5p) echo "v5p-$((2 * chips))" ;;
    v6e) echo "v6e-$chips" ;;
  esac
}

# The runtime image of a generation: https://docs.cloud.google.com/tpu/docs/runtimes
runtime_version() {
  case ${1%%:*} in
    v5e) echo v2-alpha-tpuv5-lite ;;
    v5p) echo v2-alpha-tpuv5 ;;
    v6e) echo v2-alpha-tpuv6e ;;
  esac
}

where() {
  [ "${PROJECT:-}" ] && [ "${ZONE:-}" ] ||
    fail "PROJECT and ZONE are not both set, expected where the slice is; export them."
  place=("--project=$PROJECT" "--zone=$ZONE")
}

tpu() { run gcloud compute tpus tpu-vm "$@" "${place[@]}"; }

on_all_hosts() { tpu ssh "$1" --worker=all "--command=$2"; }

# A study's command line. SAH_COORDINATOR=auto: JAX finds the other hosts of a slice by itself.
study_command() {
  local config=$1
  shift
  [ -f "$root/$config" ] || fail "$config is no file of this repository; give a config such as configs/demo.py."
  printf 'SAH_COORDINATOR=auto python -m sah_jax study --config=%q --workdir=out/study' "$config"
  printf ' %q' "$@"
}

create() {
  local options type
  [ $# -eq 2 ] || fail "create takes NAME and SLICE."
  type=$(accelerator_type "$2")
  read -ra options <<<"${OPTIONS:-}"
  tpu create "$1" "--accelerator-type=$type" "--version=$(runtime_version "$2")" "${options[@]}"
}

install() {
  local archive
  [ $# -eq 1 ] || fail "install takes NAME."
  archive=$(mktemp --suffix=.tar.gz)
  trap 'rm -f "$archive"' RETURN
  git -C "$root" archive --format=tar.gz --output="$archive" HEAD
  tpu scp "$archive" "$1:sah_jax.tar.gz" --worker=all
  # The images have Python 3.10.
  on_all_hosts "$1" 'mkdir -p sah_jax && tar -xzf sah_jax.tar.gz -C sah_jax && cd sah_jax && '\
'sudo apt-get update -q && sudo apt-get install -q -y python3.11-venv && '\
'python3.11 -m venv .venv && .venv/bin/pip install -q ".[tpu]"'
}

study() {
  local name=$1 line
  shift
  line=$(study_command "$@")
  # In the background, so that it outlives the connection.
  on_all_hosts "$name" "cd sah_jax && mkdir -p out && . .venv/bin/activate && \
($line >> out/study.log 2>&1 < /dev/null &)"
}

delete() {
  local typed
  [ $# -eq 1 ] || fail "delete takes NAME."
  read -r -p "Type $1 to delete this TPU VM and everything on its disks: " typed
  [ "$typed" = "$1" ] || fail "'$typed' is not $1; nothing was deleted."
  tpu delete "$1" --quiet
}

xpk_workload() {
  local cluster=$1 name=$2 type line options
  type=$(accelerator_type "$3")
  shift 3
  line=$(study_command "$@")
  read -ra options <<<"${OPTIONS:-}"
  run xpk workload create "--cluster=$cluster" "--workload=$name" "--tpu-type=$type" --num-slices=1 \
    --base-docker-image=python:3.11 "--script-dir=$root" "${place[@]}" "${options[@]}" \
    "--command=pip install -q '.[tpu]' && $line"
}

command=${1:-help}
shift || true
case $command in
  create | install | delete) where && "$command" "$@" ;;
  study)
    [ $# -ge 2 ] || fail "study takes NAME and CONFIG."
    where && study "$@"
    ;;
  logs)
    [ $# -eq 1 ] || fail "logs takes NAME."
    where && tpu ssh "$1" --worker=0 "--command=tail -n 40 sah_jax/out/study.log"
    ;;
  fetch)
    [ $# -eq 2 ] || fail "fetch takes NAME and FOLDER."
    where && tpu scp --recurse "$1:sah_jax/out/study" "$2" --worker=0
    ;;
  xpk)
    [ $# -ge 4 ] || fail "xpk takes CLUSTER, NAME, SLICE and CONFIG."
    where && xpk_workload "$@"
    ;;
  help | --help | -h) usage ;;
  *) fail "'$command' is no command; see scripts/tpu_pod.sh help." ;;
esac
