# syntax=docker/dockerfile:1
# Latchkey in a container: one static binary, nothing else that could be run.
#
#   docker build --build-arg VERSION=v1.2.3 -t latchkey .
#   docker run --read-only -v latchkey:/data -p 127.0.0.1:8080:8080 -e LATCHKEY_ISSUER=http://localhost:8080 latchkey

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY cmd cmd
COPY clients clients
COPY keys keys
COPY provider provider
COPY templates templates
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=development
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w -X main.release=$VERSION" -o /out/latchkey ./cmd/latchkey
# A volume that is mounted for the first time takes over owner and mode of the folder in the image.
RUN install -d -m 0700 /out/data

# Certificate authorities, time zones and the user nonroot (65532); no shell, no package manager.
FROM gcr.io/distroless/static-debian13:nonroot
ARG VERSION=development
LABEL org.opencontainers.image.title="Latchkey" \
      org.opencontainers.image.description="A single sign-on provider: OpenID Connect and OAuth 2.0 in one program" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="$VERSION"
COPY --from=build --chown=65532:65532 /out/data /data
COPY --from=build /out/latchkey /latchkey
COPY LICENSE /LICENSE
USER 65532:65532
WORKDIR /data
ENV LATCHKEY_DATA=/data LATCHKEY_LISTEN=:8080 LATCHKEY_LOG_FORMAT=json
VOLUME /data
EXPOSE 8080
HEALTHCHECK --interval=10s --timeout=6s --start-period=20s --retries=3 CMD ["/latchkey", "healthcheck"]
ENTRYPOINT ["/latchkey"]
CMD ["serve"]
