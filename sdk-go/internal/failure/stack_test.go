package failure

import (
	"runtime/debug"
	"strings"
	"testing"
)

func TestOfAStackTheUsersPartIsKept(t *testing.T) {
	stack := "goroutine 7 [running]:\nruntime/debug.Stack()\n\t" + goFolder + "runtime/debug/stack.go:26 +0x5e\n" +
		"durably.dev/sdk/internal/failure.Caught({0x1, 0x2})\n\t/src/sdk-go/internal/failure/guard.go:25 +0x2d\n" +
		"panic({0x1?, 0x2?})\n\t" + goFolder + "runtime/panic.go:783 +0x132\n" +
		"shop/orders.Order(0x0)\n\t/shop/orders/order.go:12 +0x1d\n" +
		"reflect.Value.call({0x1})\n\t" + goFolder + "reflect/value.go:581 +0xcc6\n" +
		"durably.dev/sdk/internal/flow.(*Run).main(0xc0)\n\t/src/sdk-go/internal/flow/outcome.go:19 +0x3f\n"
	want := "goroutine 7 [running]:\nshop/orders.Order(0x0)\n\t/shop/orders/order.go:12 +0x1d\n"
	if got := UserStack(stack); got != want {
		t.Errorf("%q", got)
	}
	if got := UserLine(stack); got != "/shop/orders/order.go:12" {
		t.Error(got)
	}
	if whole := string(debug.Stack()); UserStack(whole) != whole || UserLine(whole) != "" {
		t.Error("where nothing is the user's, all is kept")
	}
}

func TestWithoutPathsAPackagesNameTellsWhoseItIs(t *testing.T) {
	defer func(before string) { goFolder = before }(goFolder)
	goFolder = ""
	for function, want := range map[string]bool{
		"time.Sleep": true, "net/http.(*Client).Do": true, "runtime.gopark": true, "internal/poll.(*FD).Read": true,
		"main.Order": false, "example.com/shop.Order": false, "example.com/shop/orders.(*T).Run": false,
	} {
		if isGos(function, strings.Split(function, ".")[0]+"/x.go") != want {
			t.Error(function)
		}
	}
}
