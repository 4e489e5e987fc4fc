#!/bin/sh
# Make /opt/venv of the locked packages: install.sh [--system-site-packages] [options of `uv export`]
# sbom.cdx.json in it lists them.
set -eu
site=
if [ "${1:-}" = --system-site-packages ]; then
    site=$1
    shift
fi
umask 022
uv venv --quiet --python "$(command -v python3)" $site "$VIRTUAL_ENV"
uv export --quiet --frozen --no-default-groups --no-emit-project "$@" -o /tmp/requirements.txt
uv pip sync --quiet --require-hashes --no-build --compile-bytecode /tmp/requirements.txt
# What is in the image, as CycloneDX; without the two lines that would make every build another one.
uv export --quiet --frozen --no-default-groups --no-emit-project "$@" --format cyclonedx1.5 -o "$VIRTUAL_ENV/sbom.cdx.json"
sed -i -e '/"serialNumber"/d' -e '/"timestamp"/d' "$VIRTUAL_ENV/sbom.cdx.json"
echo /opt/program >"$("$VIRTUAL_ENV/bin/python3" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/tilegate.pth"
