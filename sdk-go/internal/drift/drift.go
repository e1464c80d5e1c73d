// Package drift holds the SDK's options to the contract's, in tests: each field of a message of options is set by an option
// of the user's, or there is a reason why not.
package drift

import (
	"testing"

	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
)

// Origin is where a field of the contract comes from.
type Origin[Options any] struct {
	// By sets the field, and no other but Also, to something that isn't its default.
	By   Options
	Also string
	// Without is why no option sets it.
	Without string
}

// Check fails if a field of the message that contract makes has no origin, if an origin has no field, and if the options
// of an origin don't set its field and only that.
func Check[Options any](t *testing.T, origins map[string]Origin[Options], contract func(Options) proto.Message) {
	t.Helper()
	var none Options
	message := contract(none).ProtoReflect().Descriptor()
	fields := message.Fields()
	known := map[string]protoreflect.FieldDescriptor{}
	for i := range fields.Len() {
		field := fields.Get(i)
		known[string(field.Name())] = field
		if _, ok := origins[string(field.Name())]; !ok {
			t.Errorf("%s: no option sets it, and no reason is given", field.FullName())
		}
	}
	for name, origin := range origins {
		field := known[name]
		if field == nil {
			t.Errorf("%s.%s is not in the contract (any more)", message.FullName(), name)
			continue
		}
		if origin.Without != "" {
			continue
		}
		made, standard := contract(origin.By), contract(none)
		is, was := made.ProtoReflect(), standard.ProtoReflect()
		if is.Get(field).Equal(was.Get(field)) {
			t.Errorf("%s has its default, %v, whatever the option says", field.FullName(), is.Get(field))
		}
		for _, name := range []string{name, origin.Also} {
			if field := known[name]; field != nil {
				is.Clear(field)
				was.Clear(field)
			}
		}
		if !proto.Equal(made, standard) {
			t.Errorf("the option of %s sets more: %v", field.FullName(), made)
		}
	}
}
