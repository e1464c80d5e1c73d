// Package core holds the messages of durably.core.v1, the contract with the worker core. Its files are made from
// the .proto files of the same names by `cargo xtask generate go`.
package core
