# genbench in a container, without root. From a checkout:
#
#   docker build -t genbench .                                       # torch as pip installs it: NVIDIA GPUs, and CPUs
#   docker build -t genbench:cpu --build-arg TORCH_INDEX_URL=… .     # a smaller image for CPUs
#   docker run --rm -v "$PWD/results:/home/genbench/results" genbench run --models gan,dcgan,vae
#   docker run --rm --gpus all --shm-size 2g -v "$PWD/results:/home/genbench/results" genbench run --device cuda
#
# TORCH_INDEX_URL is the address of an index with other builds of torch, for CPUs or another CUDA version: PyTorch's page
# "Get started" shows it. The folder that is mounted must be writable by the user 1000.
FROM python:3.12-slim-bookworm AS build
ARG TORCH_INDEX_URL=""
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY genbench genbench
RUN python -m venv /opt/genbench \
    && /opt/genbench/bin/pip install --no-cache-dir ${TORCH_INDEX_URL:+--index-url "$TORCH_INDEX_URL"} \
        "torch>=2.8" "torchvision>=0.23" \
    && /opt/genbench/bin/pip install --no-cache-dir ".[datasets,figures,frames,tune]"

FROM python:3.12-slim-bookworm
# torch compiles fused kernels with a C++ compiler (--engine compile)
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++=4:12.2.0-3 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home --uid 1000 genbench \
    && mkdir -p /home/genbench/results /cache \
    && chown -R genbench:genbench /home/genbench /cache
COPY --from=build /opt/genbench /opt/genbench
ENV PATH=/opt/genbench/bin:$PATH GENBENCH_CACHE=/cache
USER 1000
WORKDIR /home/genbench
VOLUME ["/cache"]
ENTRYPOINT ["genbench"]
CMD ["--help"]
