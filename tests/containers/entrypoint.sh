#!/bin/bash
# As the entry point of SageMaker's TensorFlow images, without their telemetry.
set -e
bash /usr/local/bin/start_cuda_compat.sh || true
exec "$@"
