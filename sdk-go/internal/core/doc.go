// Package core holds the messages of durably.core.v1, the contract with the worker core. core.pb.go is made by
// `cargo xtask generate go`.
package core
