package converter_test

import (
	"errors"
	"reflect"
	"testing"

	"durably.dev/sdk/converter"
	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/proto"
)

type point struct{ X, Y int }

func TestEachValueHasTheEncodingOfOtherSDKs(t *testing.T) {
	c := converter.GetDefaultDataConverter()
	var nothing *point
	for _, test := range []struct {
		value          any
		encoding, data string
	}{
		{nil, "binary/null", ""},
		{nothing, "binary/null", ""},
		{[]byte("ab"), "binary/plain", "ab"},
		{point{1, 2}, "json/plain", `{"X":1,"Y":2}`},
		{"ü", "json/plain", `"ü"`},
	} {
		payload, err := c.ToPayload(test.value)
		if err != nil {
			t.Fatal(err)
		}
		if got := string(payload.Metadata["encoding"]); got != test.encoding || string(payload.Data) != test.data {
			t.Errorf("%v: %s %s", test.value, got, payload.Data)
		}
	}
}

func TestValuesComeBack(t *testing.T) {
	c := converter.GetDefaultDataConverter()
	message := &commonpb.WorkflowType{Name: "Order"}
	payloads, err := c.ToPayloads(point{1, 2}, []byte{3}, nil, message, &point{4, 5})
	if err != nil {
		t.Fatal(err)
	}
	if got := string(payloads.Payloads[3].Metadata["messageType"]); got != "temporal.api.common.v1.WorkflowType" {
		t.Error(got)
	}
	var p point
	var bytes []byte
	var gone *point = &point{9, 9}
	var decoded *commonpb.WorkflowType
	var q *point
	if err := c.FromPayloads(payloads, &p, &bytes, &gone, &decoded, &q); err != nil {
		t.Fatal(err)
	}
	if p != (point{1, 2}) || bytes[0] != 3 || gone != nil || !proto.Equal(decoded, message) || *q != (point{4, 5}) {
		t.Error(p, bytes, gone, decoded, q)
	}
}

func TestWhatCantBeDecodedIsAnError(t *testing.T) {
	c := converter.GetDefaultDataConverter()
	var p point
	foreign := &commonpb.Payload{Metadata: map[string][]byte{"encoding": []byte("binary/unknown")}}
	if err := c.FromPayload(foreign, &p); !errors.Is(err, converter.ErrUnableToFindConverter) {
		t.Error(err)
	}
	bytes, _ := c.ToPayload([]byte("ab"))
	null, _ := c.ToPayload(nil)
	for _, err := range []error{c.FromPayload(bytes, &p), c.FromPayload(null, p)} {
		if err == nil {
			t.Error("decoded")
		}
	}
}

// reversing is a codec that turns the data round.
type reversing struct{ with byte }

func (r reversing) turn(payloads []*commonpb.Payload) ([]*commonpb.Payload, error) {
	turned := make([]*commonpb.Payload, len(payloads))
	for i, p := range payloads {
		data := make([]byte, len(p.Data))
		for j, b := range p.Data {
			data[j] = b ^ r.with
		}
		turned[i] = &commonpb.Payload{Metadata: p.Metadata, Data: data}
	}
	return turned, nil
}

func (r reversing) Encode(p []*commonpb.Payload) ([]*commonpb.Payload, error) { return r.turn(p) }
func (r reversing) Decode(p []*commonpb.Payload) ([]*commonpb.Payload, error) { return r.turn(p) }

func TestACodecGoesAroundTheConverter(t *testing.T) {
	c := converter.NewCodecDataConverter(converter.GetDefaultDataConverter(), reversing{0x55})
	payloads, err := c.ToPayloads("secret", map[string]int{"a": 1})
	if err != nil || string(payloads.Payloads[0].Data) == `"secret"` {
		t.Fatal(payloads, err)
	}
	var text string
	var values map[string]int
	if err := c.FromPayloads(payloads, &text, &values); err != nil || text != "secret" || !reflect.DeepEqual(values, map[string]int{"a": 1}) {
		t.Fatal(text, values, err)
	}
}
