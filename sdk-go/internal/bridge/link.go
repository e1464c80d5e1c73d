package bridge

// Where this checkout has the header and the library; a release is preferred. `cargo xtask package --lang go` makes a
// module that has both inside, with a file of its own in place of this one.

/*
#cgo CFLAGS: -I${SRCDIR}/../../../bridge-c/include -I${SRCDIR}/../../../target/release -I${SRCDIR}/../../../target/debug
#cgo LDFLAGS: -L${SRCDIR}/../../../target/release -L${SRCDIR}/../../../target/debug
#if !defined(DURABLY_BUILT) && !__has_include("libdurably.a")
#error "there is no libdurably.a: run `cargo xtask package --lang go` and use the module that it makes (sdk-go/README.md), or build the library here by `cargo build --release -p durably-bridge-c`; if cargo builds elsewhere, say where: CGO_CFLAGS=-IFOLDER CGO_LDFLAGS=-LFOLDER"
#endif
*/
import "C"
