package converter

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"reflect"

	commonpb "go.temporal.io/api/common/v1"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

func payload(encoding string, data []byte) *commonpb.Payload {
	return &commonpb.Payload{Metadata: map[string][]byte{MetadataEncoding: []byte(encoding)}, Data: data}
}

// target is the settable value that a pointer points to.
func target(valuePtr any) (reflect.Value, error) {
	v := reflect.ValueOf(valuePtr)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return v, fmt.Errorf("a result is decoded into a pointer, not into %T", valuePtr)
	}
	return v.Elem(), nil
}

// NilPayloadConverter encodes nil.
type NilPayloadConverter struct{}

// NewNilPayloadConverter makes one.
func NewNilPayloadConverter() *NilPayloadConverter { return &NilPayloadConverter{} }

// Encoding is binary/null.
func (*NilPayloadConverter) Encoding() string { return MetadataEncodingNil }

// ToPayload takes nil and nil pointers.
func (*NilPayloadConverter) ToPayload(value any) (*commonpb.Payload, error) {
	if v := reflect.ValueOf(value); value != nil && (v.Kind() != reflect.Pointer || !v.IsNil()) {
		return nil, nil
	}
	return payload(MetadataEncodingNil, nil), nil
}

// FromPayload sets the zero value.
func (*NilPayloadConverter) FromPayload(_ *commonpb.Payload, valuePtr any) error {
	v, err := target(valuePtr)
	if err == nil {
		v.SetZero()
	}
	return err
}

// ToString is "nil".
func (*NilPayloadConverter) ToString(*commonpb.Payload) string { return "nil" }

// ByteSlicePayloadConverter encodes []byte as it is.
type ByteSlicePayloadConverter struct{}

// NewByteSlicePayloadConverter makes one.
func NewByteSlicePayloadConverter() *ByteSlicePayloadConverter { return &ByteSlicePayloadConverter{} }

// Encoding is binary/plain.
func (*ByteSlicePayloadConverter) Encoding() string { return MetadataEncodingBinary }

// ToPayload takes []byte.
func (*ByteSlicePayloadConverter) ToPayload(value any) (*commonpb.Payload, error) {
	if bytes, ok := value.([]byte); ok {
		return payload(MetadataEncodingBinary, bytes), nil
	}
	return nil, nil
}

// FromPayload sets a []byte.
func (*ByteSlicePayloadConverter) FromPayload(p *commonpb.Payload, valuePtr any) error {
	v, err := target(valuePtr)
	if err != nil {
		return err
	}
	bytes := reflect.ValueOf(append([]byte{}, p.GetData()...))
	if !bytes.Type().AssignableTo(v.Type()) {
		return fmt.Errorf("bytes can't be decoded into %T", valuePtr)
	}
	v.Set(bytes)
	return nil
}

// ToString is base64.
func (*ByteSlicePayloadConverter) ToString(p *commonpb.Payload) string {
	return base64.RawStdEncoding.EncodeToString(p.GetData())
}

// JSONPayloadConverter encodes with encoding/json.
type JSONPayloadConverter struct{}

// NewJSONPayloadConverter makes one.
func NewJSONPayloadConverter() *JSONPayloadConverter { return &JSONPayloadConverter{} }

// Encoding is json/plain.
func (*JSONPayloadConverter) Encoding() string { return MetadataEncodingJSON }

// ToPayload takes what encoding/json takes.
func (*JSONPayloadConverter) ToPayload(value any) (*commonpb.Payload, error) {
	data, err := json.Marshal(value)
	if err != nil {
		return nil, fmt.Errorf("unable to encode: %w", err)
	}
	return payload(MetadataEncodingJSON, data), nil
}

// FromPayload decodes with encoding/json.
func (*JSONPayloadConverter) FromPayload(p *commonpb.Payload, valuePtr any) error {
	if err := json.Unmarshal(p.GetData(), valuePtr); err != nil {
		return fmt.Errorf("unable to decode %.100q: %w", p.GetData(), err)
	}
	return nil
}

// ToString is the JSON text.
func (*JSONPayloadConverter) ToString(p *commonpb.Payload) string { return string(p.GetData()) }

// protoCodec is what the two encodings of protobuf messages share.
type protoCodec struct {
	encoding  string
	marshal   func(proto.Message) ([]byte, error)
	unmarshal func([]byte, proto.Message) error
}

// Encoding is the encoding's name.
func (c *protoCodec) Encoding() string { return c.encoding }

// ToPayload takes protobuf messages.
func (c *protoCodec) ToPayload(value any) (*commonpb.Payload, error) {
	message, ok := value.(proto.Message)
	if !ok {
		return nil, nil
	}
	data, err := c.marshal(message)
	if err != nil {
		return nil, fmt.Errorf("unable to encode: %w", err)
	}
	p := payload(c.encoding, data)
	p.Metadata[MetadataMessageType] = []byte(message.ProtoReflect().Descriptor().FullName())
	return p, nil
}

// FromPayload decodes into a message, or into a pointer to one that is made if it is nil.
func (c *protoCodec) FromPayload(p *commonpb.Payload, valuePtr any) error {
	if message, ok := valuePtr.(proto.Message); ok {
		return c.unmarshal(p.GetData(), message)
	}
	v, err := target(valuePtr)
	if err != nil {
		return err
	}
	if v.Kind() == reflect.Pointer {
		if v.IsNil() {
			v.Set(reflect.New(v.Type().Elem()))
		}
		if message, ok := v.Interface().(proto.Message); ok {
			return c.unmarshal(p.GetData(), message)
		}
	}
	return fmt.Errorf("%s can't be decoded into %T: it is no protobuf message", p.GetMetadata()[MetadataMessageType], valuePtr)
}

// ToString is the JSON text, or base64 of the bytes.
func (c *protoCodec) ToString(p *commonpb.Payload) string {
	if c.encoding == MetadataEncodingProtoJSON {
		return string(p.GetData())
	}
	return base64.RawStdEncoding.EncodeToString(p.GetData())
}

// ProtoJSONPayloadConverter encodes protobuf messages as JSON.
type ProtoJSONPayloadConverter struct{ protoCodec }

// NewProtoJSONPayloadConverter makes one.
func NewProtoJSONPayloadConverter() *ProtoJSONPayloadConverter {
	decode := protojson.UnmarshalOptions{DiscardUnknown: true}.Unmarshal
	return &ProtoJSONPayloadConverter{protoCodec{MetadataEncodingProtoJSON, protojson.Marshal, decode}}
}

// ProtoPayloadConverter encodes protobuf messages as bytes.
type ProtoPayloadConverter struct{ protoCodec }

// NewProtoPayloadConverter makes one.
func NewProtoPayloadConverter() *ProtoPayloadConverter {
	return &ProtoPayloadConverter{protoCodec{MetadataEncodingProto, proto.Marshal, proto.Unmarshal}}
}
