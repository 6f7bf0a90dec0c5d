# Runs the README's commands as an ordinary user, without a GPU:
#   docker build -f docker/cpu.Dockerfile -t csg405:cpu .
#   docker run --rm -v "$PWD/runs:/home/csg405/app/runs" csg405:cpu crawl annotate filter
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends make && rm -rf /var/lib/apt/lists/* \
    && useradd --create-home csg405
USER csg405
WORKDIR /home/csg405/app
COPY --chown=csg405 . .
RUN make setup
ENTRYPOINT ["make"]
CMD ["crawl", "annotate", "filter"]
