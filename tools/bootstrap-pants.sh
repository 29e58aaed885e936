#!/usr/bin/env bash
# Installs Pants from the configured Python package index into a private environment, for machines without the
# upstream `pants` launcher, and prints the path of its executable. Pants fetches its pex tool from a code hosting
# site; here the same file is built from pex's wheel (byte-reproducible, checked by hash). What this machine needs
# beyond pants.toml goes into the git-ignored .pants.rc.
# Variables: PANTS_PYTHON (an interpreter of 3.7 to 3.9), PANTS_BOOTSTRAP_HOME, SSL_CERT_FILE, and pip's
# PIP_INDEX_URL, PIP_EXTRA_INDEX_URL, PIP_FIND_LINKS.
set -euo pipefail
root="$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)"
version="$(sed -n 's/^pants_version *= *"\(.*\)"/\1/p' "$root/pants.toml")"
home="${PANTS_BOOTSTRAP_HOME:-${XDG_CACHE_HOME:-$HOME/.cache}/easel-pants/$version}"
pex_sha256=4758c22500e272539137e11853ce57d6e5bfc4e4bc7222e64a84397475e32ef0

say() { echo "bootstrap-pants: $*" >&2; }

candidate_pythons() {
  [ -z "${PANTS_PYTHON:-}" ] || echo "$PANTS_PYTHON"
  printf '%s\n' python3.9 python3.8 python3.7
  local pyenv_root="${PYENV_ROOT:-$(pyenv root 2>/dev/null || true)}" minor
  for minor in 9 8 7; do
    ls -d "${pyenv_root:-$HOME/.pyenv}"/versions/3.$minor.*/bin/python 2>/dev/null || true
    uv python find "3.$minor" 2>/dev/null || true
  done
}

find_python() { # a candidate is run, since a pyenv shim can be on PATH and still refuse to start
  local candidate
  while read -r candidate; do
    if "$candidate" -c 'import ensurepip, sys; sys.exit(not (3, 7) <= sys.version_info[:2] <= (3, 9))' 2>/dev/null; then
      echo "$candidate"
      return
    fi
  done < <(candidate_pythons)
  say "Pants $version itself runs on Python 3.7 to 3.9 and none was found on PATH, in pyenv or in uv."
  say "Install one (for example: pyenv install 3.9) or name it: PANTS_PYTHON=/path/to/python3.9"
  return 1
}

install_pants() {
  local python
  python="$(find_python)"
  say "installing Pants $version (once; about 80 MB)"
  mkdir -p "$home"
  "$python" -m venv "$home/venv"
  "$home/venv/bin/pip" install -q --disable-pip-version-check "pantsbuild.pants==$version"
}

build_pex_cli() { # the flags of upstream's own packaging script, so the bytes are the released ones
  local wheels="$home/wheels"
  mkdir -p "$(dirname "$pex_cli")" "$wheels"
  "$home/venv/bin/pip" download -q --disable-pip-version-check --no-deps --only-binary :all: \
    -d "$wheels" "pex==$pex_version"
  "$home/venv/bin/pex" "$wheels/pex-$pex_version-py2.py3-none-any.whl" \
    --disable-cache --no-index --no-build --no-compile --no-use-system-time --no-strip-pex-env \
    --include-tools --python-shebang "/usr/bin/env python" \
    --interpreter-constraint ">=2.7,<3.12,!=3.0.*,!=3.1.*,!=3.2.*,!=3.3.*,!=3.4.*" \
    -c pex -o "$pex_cli"
}

pex_facts() { # "platform|sha256|size" in the words of Pants
  "$home/venv/bin/python" - "$pex_cli" <<'PYTHON'
import hashlib, pathlib, platform, sys
data = pathlib.Path(sys.argv[1]).read_bytes()
machine = {"aarch64": "arm64"}.get(platform.machine(), platform.machine())
system = {"Darwin": "macos"}.get(platform.system(), platform.system().lower())
print(f"{system}_{machine}|{hashlib.sha256(data).hexdigest()}|{len(data)}")
PYTHON
}

listed() { # pip separates by spaces and takes a bare folder; Pants wants quoted addresses
  local separator="" place
  for place in $1; do
    case "$place" in /*) place="file://$place" ;; esac
    printf '%s"%s"' "$separator" "$place"
    separator=", "
  done
}

write_pants_rc() {
  echo "# Written by tools/bootstrap-pants.sh for this machine; Pants reads it after pants.toml."
  echo "[GLOBAL]"
  [ -z "${SSL_CERT_FILE:-}" ] || echo "ca_certs_path = \"$SSL_CERT_FILE\""
  echo "[pex-cli]"
  echo "url_template = \"file://$home/pex-cli/{version}/pex\""
  echo "known_versions = [\"v$pex_version|$facts\"]"
  echo "[python-repos]"
  if [ -n "${PIP_INDEX_URL:-}" ]; then
    echo "indexes = [$(listed "$PIP_INDEX_URL ${PIP_EXTRA_INDEX_URL:-}")]"
  elif [ -n "${PIP_EXTRA_INDEX_URL:-}" ]; then
    echo "indexes.add = [$(listed "$PIP_EXTRA_INDEX_URL")]"
  fi
  [ -z "${PIP_FIND_LINKS:-}" ] || echo "find_links = [$(listed "$PIP_FIND_LINKS")]"
  if ! docker version >/dev/null 2>&1; then
    echo "[filter]" # without a Docker engine `pants package ::` skips the images
    echo "target_type = [\"-docker_image\"]"
  fi
}

[ -x "$home/venv/bin/pants" ] || install_pants
pex_version="$("$home/venv/bin/python" -c \
  'from pants.backend.python.util_rules.pex_cli import PexCli; print(PexCli.default_version.lstrip("v"))')"
pex_cli="$home/pex-cli/v$pex_version/pex"
[ -f "$pex_cli" ] || build_pex_cli
facts="$(pex_facts)"
if [[ "$pex_version" == 2.1.137 && "$facts" != *"|$pex_sha256|"* ]]; then
  rm -f "$pex_cli"
  say "the pex tool that was built differs from the released one ($facts)"
  exit 1
fi
write_pants_rc >"$root/.pants.rc.$$" && mv "$root/.pants.rc.$$" "$root/.pants.rc"
echo "$home/venv/bin/pants"
