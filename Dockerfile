# The suite on a CPU: docker build -t vision-core . && docker run -p 7860:7860 vision-core
# PyPI's torch for Linux brings CUDA; --build-arg PIP_EXTRA_INDEX_URL=... with PyTorch's CPU index leaves it out.
FROM python:3.12-slim

RUN useradd --create-home --uid 1000 user && install --directory --owner=user --group=user /home/user/app
USER user
WORKDIR /home/user/app
ENV PATH=/home/user/app/.venv/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1

ARG PIP_EXTRA_INDEX_URL
RUN python -m venv .venv && pip install --upgrade pip
COPY --chown=user . .
RUN pip install -c constraints.txt -e '.[apps,editing,tracking,onnx]'

EXPOSE 7860
HEALTHCHECK --interval=30s --timeout=5s --start-period=2m \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/healthz', timeout=4)"]
CMD ["python", "-m", "vision_core", "serve", "--host", "0.0.0.0", "--port", "7860"]
