# Stands in for bases that bring a TensorFlow of their own and lie in a registry. `sagemaker` is laid out as SageMaker's
# TensorFlow 2.21 images are: everything in /opt/venv, AWS's training toolkit too, a system's python3 that will not do,
# and the entry point with its CUDA compatibility. Theirs has Python 3.12 where this has Debian's.
ARG BASE_IMAGE
FROM ${BASE_IMAGE} AS toolkit
RUN apt-get update -qq && apt-get install -qqy --no-install-recommends gcc libc6-dev python3-dev >/dev/null
RUN python3 -m venv /opt/pip && /opt/pip/bin/pip wheel --quiet --no-deps -w /wheels sagemaker-training==5.1.4

FROM ${BASE_IMAGE} AS system
ARG TENSORFLOW
RUN --mount=type=cache,target=/root/.cache/uv \
    python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir uv \
 && UV_LINK_MODE=copy /opt/uv/bin/uv pip install --quiet --system --break-system-packages --no-deps "${TENSORFLOW}" \
 && rm -r /opt/uv

FROM ${BASE_IMAGE} AS sagemaker
ARG TENSORFLOW
RUN --mount=type=cache,target=/root/.cache/uv --mount=from=toolkit,source=/wheels,target=/wheels \
    python3 -m venv /opt/uv && /opt/uv/bin/pip install --quiet --no-cache-dir uv \
 && "$(readlink -f /usr/bin/python3)" -m venv /opt/venv && ln -sf /bin/false /usr/bin/python3 \
 && export UV_LINK_MODE=copy VIRTUAL_ENV=/opt/venv \
 && /opt/uv/bin/uv pip install --quiet --no-deps "${TENSORFLOW}" \
 && /opt/uv/bin/uv pip install --quiet /wheels/*.whl \
 && rm -r /opt/uv
COPY entrypoint.sh start_cuda_compat.sh /usr/local/bin/
ENV PATH=/opt/venv/bin:$PATH
ENTRYPOINT ["bash", "-m", "/usr/local/bin/entrypoint.sh"]
CMD ["/bin/bash"]
