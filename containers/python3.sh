#!/bin/bash
# The `python3` of the model image. SageMaker's bases bring a script that puts the image's CUDA before that of an older
# driver. It exports LD_LIBRARY_PATH, so it has to be sourced; in a shell of its own, which may end as it likes.
shim=/usr/local/bin/start_cuda_compat.sh
if [ -f "$shim" ] && found=$(. "$shim" >&2 && printf %s "${LD_LIBRARY_PATH:-}"); then
    export LD_LIBRARY_PATH=$found
fi
exec /opt/tilegate/bin/python3 "$@"
