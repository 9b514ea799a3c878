# The worker as a container image: one binary, no shell, not root. From the top of the repository:
#
#   docker buildx build --platform linux/arm64 -f infra/worker.Dockerfile -t REPOSITORY:VERSION --push .
#
# The platform is that of the template's Architecture: linux/arm64, or linux/amd64.
FROM rust:1.95-bookworm AS build
RUN apt-get update && apt-get install -y --no-install-recommends cmake clang && rm -rf /var/lib/apt/lists/*
WORKDIR /source
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry --mount=type=cache,target=/source/target \
    cargo build --locked --profile function -p sameroom-worker && cp target/function/worker /worker

# glibc, CA certificates, and nobody to log in as.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY --from=build /worker /worker
USER 65532:65532
ENTRYPOINT ["/worker"]
