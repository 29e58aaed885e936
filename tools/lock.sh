#!/usr/bin/env bash
# Writes the hash-pinned lock files of 3rdparty/python anew: tools/lock.sh [--upgrade] [--upgrade-package NAME]...
# Needs uv on PATH or in $UV. Locked versions stay as they are unless an upgrade is asked for.
# The CPU wheel of torch is found through PIP_FIND_LINKS. No address of an index is written.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../3rdparty/python"
uv="${UV:-uv}"
command -v "$uv" >/dev/null || { echo "lock.sh: uv is not on PATH (install it, or set UV)" >&2; exit 1; }

lock() { # NAME ARGUMENT...: NAME.lock from the requirement files
  local name="$1"
  shift
  "$uv" pip compile --quiet --universal --python-version 3.11 --generate-hashes \
    --no-emit-index-url --no-emit-find-links --no-annotate --no-header --strip-extras \
    ${PIP_FIND_LINKS:+--find-links "$PIP_FIND_LINKS"} \
    "${upgrade[@]}" "$@" --output-file "$name.lock"
}

upgrade=("$@")
lock services services.in pytest.in service-tests.in
lock inference inference.in pytest.in
# Tools run beside a program's own requirements, so what both use has one version.
lock pytest pytest.in --constraints services.lock
lock mypy mypy.in --constraints services.lock
lock mypy-stubs mypy-stubs.in --constraints services.lock
lock ruff ruff.in
