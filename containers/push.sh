#!/usr/bin/env bash
# Build the three images, push them, and print the options of `tilegate deploy` that name them by digest:
#     containers/push.sh REPOSITORIES PYTHON_BASE TENSORFLOW_BASE
# REPOSITORIES is <registry>/tilegate-dev, as `tilegate deploy` tells it. By default BuildKit pushes an OCI index, with a
# provenance, of the builder's own platform: Lambda and SageMaker refuse that, so `tilegate deploy` does, too.
set -euo pipefail
cd "$(dirname "$0")/.."
usage="usage: containers/push.sh REPOSITORIES PYTHON_BASE TENSORFLOW_BASE"
repositories=${1:?$usage} python=${2:?$usage} tensorflow=${3:?$usage}
# A pushed tag never means another image later.
tag=$(git rev-parse --short=12 HEAD)-$(date -u +%Y%m%d%H%M%S)
about=$(mktemp)
trap 'rm -f "$about"' EXIT
for target in data model control; do
    base=$python
    [ $target != model ] || base=$tensorflow
    docker buildx build --platform linux/amd64 --provenance=false --sbom=false \
        --output type=image,oci-mediatypes=false,push=true --metadata-file "$about" \
        -f containers/Dockerfile --target $target --build-arg BASE_IMAGE="$base" -t "$repositories/$target:$tag" . >&2
    digest=$(sed -n 's/.*"containerimage\.digest": *"\(sha256:[0-9a-f]\{64\}\)".*/\1/p' "$about")
    [ -n "$digest" ] || { echo "docker told no digest of $target" >&2; exit 1; }
    printf -- '--%s-image %s\n' $target "$repositories/$target@$digest"
done
