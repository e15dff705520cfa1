# One static binary on an empty file system, as an unprivileged user.
#   docker build -t fraiseql .
#   docker run --rm -p 4000:4000 -v "$PWD/fraiseql.yaml:/fraiseql.yaml:ro" fraiseql serve --config /fraiseql.yaml --listen 0.0.0.0:4000
FROM golang:1.26 AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
RUN CGO_ENABLED=0 go build -trimpath -ldflags '-s -w' -o /fraiseql ./cmd/fraiseql

FROM scratch
COPY --from=build /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /fraiseql /fraiseql
USER 65532:65532
EXPOSE 4000
ENTRYPOINT ["/fraiseql"]
CMD ["serve"]
