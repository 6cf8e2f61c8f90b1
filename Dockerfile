# The image is the program and nothing else: no shell, no libraries, no user but one without rights.
#
#     docker build -t ringway .
#     docker run --rm -p 6380:6380 -v "$PWD/my.yml:/etc/ringway/proxy.yml:ro" ringway

FROM golang:1.26-alpine AS build
WORKDIR /src
# The modules change seldom, the program often.
COPY go.mod go.sum ./
RUN go mod download
COPY . .
ARG VERSION=""
RUN CGO_ENABLED=0 go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=${VERSION}" -o /out/ringway ./cmd/ringway

# ca-certificates: for backend_tls with the system's authorities.
FROM alpine:3.22 AS certificates
RUN apk add --no-cache ca-certificates

FROM scratch
COPY --from=certificates /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/
COPY --from=build /out/ringway /ringway
USER 65532:65532
EXPOSE 6380 9121
# SIGTERM lets clients go between two requests, for drain_timeout at most.
STOPSIGNAL SIGTERM
ENTRYPOINT ["/ringway"]
CMD ["--config", "/etc/ringway/proxy.yml"]
