# syntax=docker/dockerfile:1
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags='-s -w' -o /openinspect .
# Sandboxes on Modal are linux/amd64, whatever this image is for.
RUN mkdir /runner \
 && if [ "$(go env GOARCH)" = amd64 ]; then ln -s /usr/local/bin/openinspect /runner/openinspect-amd64; \
    else CGO_ENABLED=0 GOARCH=amd64 go build -trimpath -ldflags='-s -w' -o /runner/openinspect-amd64 .; fi

# The agent, fetched once at build time; a container then needs no npm. Which build of it is fetched depends on the processor: build on one
# no newer than those it will run on.
FROM node:22-bookworm-slim AS agent
COPY --from=build /openinspect /usr/local/bin/openinspect
RUN openinspect fetch-agent --to /opencode

FROM debian:bookworm-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends bubblewrap ca-certificates git ripgrep \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 10001 inspect \
 && install -d -o inspect -g inspect -m 700 /var/lib/openinspect
COPY --from=build /openinspect /usr/local/bin/openinspect
COPY --from=build /runner /usr/local/lib/openinspect
COPY --from=agent /opencode /usr/local/bin/opencode
USER inspect
# The master key is to be given by INSPECT_MASTER_KEY_FILE: one that the bot makes itself would go with the container.
ENV INSPECT_DATA_DIR=/var/lib/openinspect \
    INSPECT_OPENCODE=/usr/local/bin/opencode \
    INSPECT_RUNNER=/usr/local/lib/openinspect/openinspect-amd64
VOLUME /var/lib/openinspect
EXPOSE 8787
ENTRYPOINT ["openinspect"]
