# A server of the search page:
#
#   docker build -t adamine .
#   docker run -p 127.0.0.1:8000:8000 -v $PWD/model:/model:ro -v $PWD/gallery:/gallery adamine
#
# `model` is a folder written by `export_weights --format folder`, or a workdir; `gallery` is written by `embed`.
# Flags after the image name replace the default ones, so repeat --workdir:
#
#   docker run … adamine --workdir /model --store postgresql://…     # a gallery in PostgreSQL
#   docker run … --user $(id -u) -v $PWD/token:/token:ro adamine --workdir /model --gallery /gallery --token-file /token
FROM python:3.11-slim
WORKDIR /app
COPY . /app
RUN python -m pip install --no-cache-dir '.[serve,search,postgres,text]'
USER nobody
ENV HOME=/tmp
EXPOSE 8000
ENTRYPOINT ["adamine", "serve", "--host", "0.0.0.0"]
CMD ["--workdir", "/model", "--gallery", "/gallery"]
