# The server with its page and the released models, made from a checkout:
#     docker build -f deploy/serve.Dockerfile -t quatrain-serve .
#     docker run --rm -p 127.0.0.1:8000:8000 quatrain-serve
# ffmpeg decodes what browsers record. Weights of the captioner's encoder, which Keras fetches, become part of the image.
FROM python:3.12-slim

RUN apt-get update && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*
WORKDIR /quatrain
COPY . .
ENV KERAS_HOME=/quatrain/.keras NUMBA_CACHE_DIR=/tmp/numba
RUN pip install --no-cache-dir -c constraints.txt tensorflow-cpu -e '.[serve]' \
    && quatrain caption docs/dog.jpg
USER 65532:65532
EXPOSE 8000
HEALTHCHECK --start-period=120s CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/healthz')"]
ENTRYPOINT ["quatrain", "serve", "--host", "0.0.0.0"]
