# The HTTP service (docs/guide/serve.md):
#   docker build -t overtone .
#   docker run -p 8765:8765 -e OVERTONE_TOKEN=long-and-secret overtone
# M4A, WebM, MP4 and others add 100 MB: docker build --build-arg EXTRAS=serve,formats ...
FROM python:3.12-slim AS build
ARG EXTRAS=serve
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN python -m venv --without-pip /opt/overtone
RUN python -m pip --python /opt/overtone/bin/python install --no-cache-dir ".[$EXTRAS]"

FROM python:3.12-slim
COPY --from=build /opt/overtone /opt/overtone
RUN useradd --uid 10001 overtone
USER overtone
ENV PATH=/opt/overtone/bin:$PATH
EXPOSE 8765
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8765/healthz', timeout=3)"]
CMD ["overtone", "serve", "--host", "0.0.0.0"]
