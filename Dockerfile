# A server of the search page:
#
#   docker build -t adamine .
#   docker run -p 127.0.0.1:8000:8000 -v $PWD/model:/model:ro -v $PWD/gallery:/gallery adamine
#
# For changes with --token-file, add --user $(id -u) and leave the gallery writable.
# model: folder of `export_weights --format folder`, or a workdir; gallery: written by `embed`. A gallery in PostgreSQL:
# docker run … adamine --workdir /model --store postgresql://…
FROM python:3.11-slim
WORKDIR /app
COPY . /app
RUN python -m pip install --no-cache-dir '.[serve,search,postgres,text]'
USER nobody
ENV HOME=/tmp
EXPOSE 8000
ENTRYPOINT ["adamine", "serve", "--host", "0.0.0.0"]
CMD ["--workdir", "/model", "--gallery", "/gallery"]
