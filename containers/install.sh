#!/bin/sh
# Make a virtual environment of the locked packages in $VIRTUAL_ENV: install.sh [--of-base] [options of `uv export`]
# With --of-base it also finds what the base's own python3 finds, behind its own packages. sbom.cdx.json lists these.
set -eu
umask 022
python=$(command -v python3)
uv venv --quiet --python "$python" "$VIRTUAL_ENV"
packages=$("$VIRTUAL_ENV/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
echo /opt/program >"$packages/tilegate.pth"
if [ "${1:-}" = --of-base ]; then
    shift
    # The base's python3 may be one of a virtual environment itself, of which uv's --system-site-packages sees nothing.
    "$python" -c 'import site
for folder in site.getsitepackages(): print(f"import site; site.addsitedir({folder!r})")' >"$packages/zz-base.pth"
fi
uv export --quiet --frozen --no-default-groups --no-emit-project "$@" -o /tmp/requirements.txt
uv pip sync --quiet --require-hashes --no-build --compile-bytecode /tmp/requirements.txt
# What is in the image, as CycloneDX; without the two lines that would make every build another one.
uv export --quiet --frozen --no-default-groups --no-emit-project "$@" --format cyclonedx1.5 -o "$VIRTUAL_ENV/sbom.cdx.json"
sed -i -e '/"serialNumber"/d' -e '/"timestamp"/d' "$VIRTUAL_ENV/sbom.cdx.json"
