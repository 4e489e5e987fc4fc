# Stands in for SageMaker's TensorFlow images, which lie in a registry: a base that brings a TensorFlow of its own, and
# AWS's training toolkit.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS toolkit
RUN apt-get update -qq && apt-get install -qqy --no-install-recommends gcc libc6-dev python3-dev >/dev/null
RUN python3 -m venv /opt/pip && /opt/pip/bin/pip wheel --quiet --no-deps -w /wheels sagemaker-training==5.1.4

FROM ${BASE_IMAGE}
ARG TENSORFLOW
RUN --mount=type=cache,target=/root/.cache/uv --mount=from=toolkit,source=/wheels,target=/wheels \
    python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir uv \
 && export UV_LINK_MODE=copy UV_SYSTEM_PYTHON=1 UV_BREAK_SYSTEM_PACKAGES=1 \
 && /opt/uv/bin/uv pip install --quiet --no-deps "${TENSORFLOW}" \
 && /opt/uv/bin/uv pip install --quiet /wheels/*.whl \
 && rm -r /opt/uv
