#!/usr/bin/env bash
# Makes the virtual environment: the locked dependencies, checked by hash, and the project itself, editable.
# usage: setup-venv.sh PYTHON VENV
set -euo pipefail
python=$1 venv=$2
log=$(mktemp)
trap 'rm -f "$log"' EXIT

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "docker-scaler needs Python 3.11 or newer; $python is $("$python" -V 2>&1). Try: make PYTHON=python3.12 ..." >&2
    exit 1
}

make_venv() { "$python" -m venv --clear "$venv" >"$log" 2>&1; }

if ! make_venv; then
    # Debian and Ubuntu split ensurepip off into a package of its own.
    package=$("$python" -c 'import sys; print("python%d.%d-venv" % sys.version_info[:2])')
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "Installing $package ..."
        { apt-get update -qq && apt-get install -y -qq "$package"; } >"$log" 2>&1 && make_venv || { cat "$log" >&2; exit 1; }
    else
        cat "$log" >&2
        echo "No virtual environment could be made. On Debian or Ubuntu: sudo apt-get install $package" >&2
        exit 1
    fi
fi

echo "Installing the locked dependencies into $venv ..."
export PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_INPUT=1
if ! { "$venv/bin/pip" install -q --require-hashes --no-deps -r requirements-dev.lock &&
       "$venv/bin/pip" install -q --no-deps --no-build-isolation -e .; } >"$log" 2>&1; then
    cat "$log" >&2
    echo "The dependencies could not be installed; the lines above are pip's." >&2
    exit 1
fi
