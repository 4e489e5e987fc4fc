#!/bin/bash
# As that of SageMaker's images where the driver is older than the image's CUDA.
echo "Adding CUDA compat to LD_LIBRARY_PATH"
export LD_LIBRARY_PATH=/usr/local/cuda/compat:$LD_LIBRARY_PATH
