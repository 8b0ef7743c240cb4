FROM python:3.13-slim

WORKDIR /app
COPY requirements.txt .
RUN pip install --no-cache-dir --disable-pip-version-check --require-hashes --only-binary=:all: -r requirements.txt
COPY . .

# Nobody, by number so that Kubernetes can tell. The service writes nothing where DATABASE_URL is set.
USER 65534:65534
ENV PYTHONDONTWRITEBYTECODE=1 LOG_FORMAT=json PORT=8000 WEB_CONCURRENCY=2
EXPOSE 8000
HEALTHCHECK --start-period=10s --timeout=3s \
    CMD ["python", "-c", "import os, urllib.request as u; u.urlopen(f'http://127.0.0.1:{os.environ[\"PORT\"]}/health')"]
CMD ["python", "serve.py", "--host", "0.0.0.0"]
