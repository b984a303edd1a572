#!/usr/bin/env bash
# Makes .venv with the locked dependencies and the project itself.
#
#   python.sh run|dev      run: what `make demo` needs; dev: the tests' and linters' packages too
#
# Needs a Python of 3.11 or later (PYTHON names one). uv, which reads the lock, comes from the package index into a
# small environment of its own (.dev/uv) unless it is installed already.
set -euo pipefail
cd "$(dirname "$0")/../.."
groups=(--no-dev)
[ "${1:-run}" = dev ] && groups=(--group dev)

stamp=.venv/.schoolwacht-${1:-run}
if [ -e "$stamp" ] && [ "$stamp" -nt uv.lock ] && [ "$stamp" -nt pyproject.toml ] && [ -x .venv/bin/python ]; then exit 0; fi

python=
for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
  if command -v "$candidate" >/dev/null && "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
    python=$(command -v "$candidate")
    break
  fi
done
if [ -z "$python" ]; then
  if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
    echo "python: installing python3 and python3-venv" >&2
    apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3 python3-venv >/dev/null
    python=$(command -v python3)
  else
    echo "python: no Python of 3.11 or later found: install one (Debian: apt install python3 python3-venv), or name it: make PYTHON=…" >&2
    exit 1
  fi
fi

uv=$(command -v uv || true)
if [ -z "$uv" ]; then
  if [ ! -x .dev/uv/bin/uv ]; then
    if ! "$python" -m venv .dev/uv 2>/dev/null; then
      rm -rf .dev/uv
      if [ "$(id -u)" -eq 0 ] && command -v apt-get >/dev/null; then
        echo "python: installing python3-venv" >&2
        apt-get update -qq && DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends python3-venv >/dev/null
        "$python" -m venv .dev/uv
      else
        echo "python: this Python cannot make environments: install it (Debian: apt install python3-venv)" >&2
        exit 1
      fi
    fi
    .dev/uv/bin/python -m pip install --quiet --disable-pip-version-check uv
  fi
  uv=.dev/uv/bin/uv
fi

# A later `run` must not take away what `dev` installed.
[ "${1:-run}" = run ] && [ -e .venv/.schoolwacht-dev ] && groups=(--group dev)
"$uv" sync --quiet --frozen --no-python-downloads --python "$python" --all-extras "${groups[@]}"
touch "$stamp"
