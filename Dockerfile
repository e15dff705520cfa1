# One static binary on an empty file system, as an unprivileged user.
#   docker build -t fraiseql .
#   docker run --rm -p 4000:4000 -v "$PWD:/etc/fraiseql:ro" -e FRAISEQL_AUTH_JWT_SECRET fraiseql serve --config /etc/fraiseql/fraiseql.yaml --listen 0.0.0.0:4000
# The folder holds fraiseql.yaml and what it names, the schema and files with secrets; -e passes on what it takes from the environment.
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
