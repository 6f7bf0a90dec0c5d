# The same with nets on an NVIDIA GPU; CUDA 13 and cuDNN 9 come as packages with onnxruntime-gpu:
#   docker build -f docker/gpu.Dockerfile -t csg405:gpu .
#   docker run --rm --gpus all -v "$PWD/runs:/home/csg405/app/runs" -v /data/videos:/videos:ro \
#       csg405:gpu crawl annotate filter INPUT=/videos
FROM nvidia/cuda:13.0.1-base-ubuntu24.04
RUN apt-get update && apt-get install -y --no-install-recommends make python3 python3-venv && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home csg405
USER csg405
WORKDIR /home/csg405/app
COPY --chown=csg405 . .
ENV GPU=1
RUN make setup
ENTRYPOINT ["make"]
CMD ["crawl", "annotate", "filter"]
