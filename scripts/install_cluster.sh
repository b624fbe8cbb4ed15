#!/bin/sh
# Make an environment for the tests that need Ray: scripts/install_cluster.sh VENV NEW
#
# NEW sees all packages of VENV, in which edgehar is installed, and adds those of the extra `cluster`. So Ray changes
# nothing for the other tests, and nothing is built or downloaded twice.
set -eu
venv=$(realpath "$1")
new=$(realpath -m "$2")
"$venv/bin/python" -m venv --clear --without-pip "$new"
packages() { "$1/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }
# `addsitedir` also follows the .pth files of VENV, such as that of an editable install.
echo "import site; site.addsitedir('$(packages "$venv")')" >"$(packages "$new")/under.pth"
requirements=$(mktemp)
trap 'rm -f "$requirements"' EXIT
"$venv/bin/python" - >"$requirements" <<'PYTHON'
from importlib.metadata import requires

for requirement in requires("edgehar"):
    name, _, condition = requirement.partition("; ")
    if 'extra == "cluster"' in condition and not name.startswith("edgehar"):
        print(name)
PYTHON
"$new/bin/python" -m pip install --quiet --disable-pip-version-check -r "$requirements"
for command in edgehar edgehar-run edgehar-train edgehar-convert; do
    sed "1s|.*|#!$new/bin/python|" "$venv/bin/$command" >"$new/bin/$command"
    chmod +x "$new/bin/$command"
done
