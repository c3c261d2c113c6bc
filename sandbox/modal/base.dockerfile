# What a sandbox starts from when its repository has no image: layers, parted by empty lines. Modal builds a layer once for what it says and
# what is below it, so what changes often comes last. A line that begins with # is a comment.

FROM node:22-bookworm-slim

RUN apt-get update \
 && apt-get install -y --no-install-recommends build-essential ca-certificates curl git gzip jq less openssh-client pkg-config procps python3 python3-dev python3-venv ripgrep sudo unzip util-linux xz-utils zip \
 && rm -rf /var/lib/apt/lists/*

COPY --from=golang:1.26-bookworm /usr/local/go /usr/local/go
COPY --from=ghcr.io/astral-sh/uv:0.9.5 /uv /uvx /usr/local/bin/
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin

# The libraries that Chromium needs. A repository brings its own Playwright, and the browser that fits it.
RUN npx --yes playwright@1.56.1 install-deps chromium \
 && rm -rf /var/lib/apt/lists/* /root/.npm

# The agent, the very package that is pinned.
RUN cd /tmp \
 && npm pack --silent @package@@@version@ \
 && echo "@sha512@  @package@-@version@.tgz" | sha512sum -c - \
 && tar -xzf "@package@-@version@.tgz" package/bin/opencode \
 && install -m 755 package/bin/opencode /usr/local/bin/opencode \
 && rm -rf package "@package@-@version@.tgz" /root/.npm \
 && opencode --version

RUN mkdir -p /opt/openinspect/bin /sandbox
ENV LANG=C.UTF-8 TMPDIR=/tmp
WORKDIR /root
