# One image for each process:
#   docker build --target ingest -t docker-scaler-ingest .
#   docker build --target worker -t docker-scaler-worker .
#   docker build --target rules -t docker-scaler-rules .
# and one of all of them on an emulated AWS and a simulated Swarm, for trying (compose.yaml):
#   docker build --target local -t docker-scaler-local .
#
# BASE can be any image with Python 3.11 or newer and pip as `python3`, so that it can be built where no registry is
# reached. Where no package index is reached either: put the wheels of requirements.lock into `.wheels` and say
# --build-arg PIP_ARGS="--no-index --find-links /build/.wheels".
ARG BASE=python:3.11.13-slim-bookworm

FROM ${BASE} AS packages
ARG PIP_ARGS=""
WORKDIR /build
# The lock file comes first: this layer is made anew only when a dependency changes. The brackets make `.wheels` optional.
COPY requirements.lock .wheel[s] /build/.wheels/
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --no-compile --no-deps --require-hashes \
        --only-binary :all: --target /build/all ${PIP_ARGS} -r .wheels/requirements.lock
COPY pyproject.toml stacks/image/gather.py /build/
RUN python3 gather.py pyproject.toml all /packages/ingest ingest cli \
    && python3 gather.py pyproject.toml all /packages/worker worker \
    && python3 gather.py pyproject.toml all /packages/rules rules

FROM packages AS ingest-files
COPY shared /app/shared
COPY ingest /app/ingest
COPY cli /app/cli
# The root file system is read-only where it runs: compile now, or each start does it again.
RUN cp -r /packages/ingest/. /app && python3 -m compileall -q -j 0 /app

FROM packages AS worker-files
COPY shared /app/shared
COPY worker /app/worker
RUN cp -r /packages/worker/. /app && python3 -m compileall -q -j 0 /app

FROM packages AS rules-files
COPY shared /app/shared
COPY rules /app/rules
RUN cp -r /packages/rules/. /app && python3 -m compileall -q -j 0 /app

FROM ${BASE} AS runtime
# A release says which it is: shared/__init__.py, __version__.
ARG VERSION=unreleased
ENV PYTHONPATH=/app PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
# Nobody's user and group; nothing in the image belongs to it. Docker secrets are readable by everyone.
USER 65532:65532
STOPSIGNAL SIGTERM
LABEL org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}"

FROM runtime AS ingest
LABEL org.opencontainers.image.title="docker-scaler-ingest" \
      org.opencontainers.image.description="Docker Scaler: takes requests over HTTP and queues them"
COPY --from=ingest-files /app /app
# For people: docker exec CONTAINER scaler status
COPY stacks/image/scaler /usr/local/bin/scaler
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["python3", "-c", \
    "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/healthz' % (os.environ.get('INGEST_PORT') or 8080), timeout=4)"]
ENTRYPOINT ["python3", "-m", "ingest"]

FROM runtime AS worker
LABEL org.opencontainers.image.title="docker-scaler-worker" \
      org.opencontainers.image.description="Docker Scaler: the active one scales nodes and services, the others stand by"
COPY --from=worker-files /app /app
EXPOSE 8081
# WORKER_PORT=0 turns the page off that would be asked.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["python3", "-c", \
    "import os, urllib.request as u; p = os.environ.get('WORKER_PORT') or '8081'; p == '0' or u.urlopen('http://127.0.0.1:%s/healthz' % p, timeout=4)"]
ENTRYPOINT ["python3", "-m", "worker"]

FROM runtime AS rules
LABEL org.opencontainers.image.title="docker-scaler-rules" \
      org.opencontainers.image.description="Docker Scaler: makes Prometheus's alert rules of the labels of services"
COPY --from=rules-files /app /app
EXPOSE 8082
# RULES_PORT=0 turns the page off that would be asked.
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s --retries=3 CMD ["python3", "-c", \
    "import os, urllib.request as u; p = os.environ.get('RULES_PORT') or '8082'; p == '0' or u.urlopen('http://127.0.0.1:%s/healthz' % p, timeout=4)"]
ENTRYPOINT ["python3", "-m", "rules"]

# Last, so that a builder which makes every stage before the one it is asked for makes none of these for the others.
FROM ${BASE} AS local-packages
ARG PIP_ARGS=""
WORKDIR /build
COPY requirements-dev.lock .wheel[s] /build/.wheels/
RUN python3 -m pip install --no-cache-dir --disable-pip-version-check --no-compile --no-deps --require-hashes \
        --only-binary :all: --no-binary localstack-client --target /build/all ${PIP_ARGS} -r .wheels/requirements-dev.lock
COPY pyproject.toml stacks/image/gather.py /build/
RUN python3 gather.py pyproject.toml all /packages/local ingest cli worker local

FROM local-packages AS local-files
COPY shared /app/shared
COPY ingest /app/ingest
COPY cli /app/cli
COPY worker /app/worker
COPY infra /app/infra
RUN cp -r /packages/local/. /app && python3 -m compileall -q -j 0 /app

FROM runtime AS local
LABEL org.opencontainers.image.title="docker-scaler-local" \
      org.opencontainers.image.description="Docker Scaler on an emulated AWS and a simulated Swarm, to try it"
COPY --from=local-files /app /app
COPY stacks/image/scaler /usr/local/bin/scaler
# `.local` is made here.
WORKDIR /tmp
EXPOSE 8080
HEALTHCHECK --interval=15s --timeout=5s --start-period=60s --retries=3 CMD ["python3", "-c", \
    "import os, urllib.request as u; u.urlopen('http://127.0.0.1:%s/healthz' % (os.environ.get('INGEST_PORT') or 8080), timeout=4)"]
ENTRYPOINT ["python3", "-m", "infra.local.up"]
