module durably.dev/sdk

go 1.25.4

require (
	go.temporal.io/api v1.63.4
	google.golang.org/protobuf v1.36.11
)

tool google.golang.org/protobuf/cmd/protoc-gen-go
