# Sourced by scripts/demo and scripts/test: makes .venv once and installs the package into it.
#
#   environment EXTRA   installs the package with the extra ("" for none); sets $python
#
# A stamp of what was asked for makes the second call cost nothing.

root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
venv=${SAH_VENV:-$root/.venv}
python=$venv/bin/python

say() { printf '%s\n' "$*" >&2; }

find_python() {
  local candidate
  for candidate in python3.11 python3.12 python3.13 python3; do
    if command -v "$candidate" >/dev/null &&
      "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
      printf '%s' "$candidate"
      return
    fi
  done
  say "No Python 3.11 or newer was found on the PATH; install one and run this again."
  exit 2
}

environment() {
  local extra=$1 stamp wanted system_python
  # One installation at a time, and a half-made one is finished by the next call.
  exec 9>"$root/.venv.lock"
  flock 9
  stamp=$venv/.installed-${extra:-runtime}
  wanted=$(cat "$root/requirements.txt" "$root/pyproject.toml" | sha256sum)
  if [ ! -x "$python" ] || ! "$python" -m pip --version >/dev/null 2>&1; then
    system_python=$(find_python)
    say "Making $venv with $system_python"
    "$system_python" -m venv --clear "$venv" || {
      say "A virtual environment could not be made; install Python's venv package and run this again."
      exit 2
    }
  fi
  if [ "$(cat "$stamp" 2>/dev/null)" != "$wanted" ]; then
    say "Installing sah_jax${extra:+ with extra '$extra'} (some minutes the first time)"
    "$python" -m pip install --progress-bar on -q --disable-pip-version-check \
      -e "$root${extra:+[$extra]}" || {
      say "The installation failed; check that a Python package index can be reached and run this again."
      exit 2
    }
    printf '%s' "$wanted" >"$stamp"
  fi
  flock -u 9
}
