// Package converter turns values into payloads and back.
package converter

import (
	"errors"
	"fmt"

	commonpb "go.temporal.io/api/common/v1"
	failurepb "go.temporal.io/api/failure/v1"
)

// Metadata keys and encodings of payloads, the same in all SDKs.
const (
	MetadataEncoding      = "encoding"
	MetadataMessageType   = "messageType"
	MetadataEncodingNil   = "binary/null"
	MetadataEncodingJSON  = "json/plain"
	MetadataEncodingProto = "binary/protobuf"
	// MetadataEncodingBinary is the encoding of byte slices.
	MetadataEncodingBinary = "binary/plain"
	// MetadataEncodingProtoJSON is the encoding of protobuf messages.
	MetadataEncodingProtoJSON = "json/protobuf"
)

// ErrUnableToFindConverter is what decoding fails with when no converter knows the payload's encoding.
var ErrUnableToFindConverter = errors.New("unable to find converter")

// DataConverter turns arguments, results and details into payloads and back.
type DataConverter interface {
	ToPayload(value any) (*commonpb.Payload, error)
	FromPayload(payload *commonpb.Payload, valuePtr any) error
	ToPayloads(values ...any) (*commonpb.Payloads, error)
	// FromPayloads decodes as many as both sides have; surplus pointers keep what they point to.
	FromPayloads(payloads *commonpb.Payloads, valuePtrs ...any) error
	ToString(payload *commonpb.Payload) string
	ToStrings(payloads *commonpb.Payloads) []string
}

// PayloadConverter knows one encoding. ToPayload returns nil for values that are not its own.
type PayloadConverter interface {
	ToPayload(value any) (*commonpb.Payload, error)
	FromPayload(payload *commonpb.Payload, valuePtr any) error
	ToString(payload *commonpb.Payload) string
	Encoding() string
}

// PayloadCodec changes payloads on their way out and back, for example to encrypt them.
type PayloadCodec interface {
	Encode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error)
	Decode(payloads []*commonpb.Payload) ([]*commonpb.Payload, error)
}

// FailureConverter turns errors into failures and back.
type FailureConverter interface {
	ErrorToFailure(err error) *failurepb.Failure
	FailureToError(failure *failurepb.Failure) error
}

// EncodedValue is a value that is decoded when it is asked for.
type EncodedValue interface {
	HasValue() bool
	Get(valuePtr any) error
}

// EncodedValues are values that are decoded when they are asked for.
type EncodedValues interface {
	HasValues() bool
	Get(valuePtrs ...any) error
}

// RawValue is a payload that is passed through as it is.
type RawValue struct{ payload *commonpb.Payload }

// NewRawValue makes a RawValue.
func NewRawValue(payload *commonpb.Payload) RawValue { return RawValue{payload} }

// Payload is what it holds.
func (v RawValue) Payload() *commonpb.Payload { return v.payload }

// CompositeDataConverter tries its payload converters in order.
type CompositeDataConverter struct {
	inOrder    []PayloadConverter
	byEncoding map[string]PayloadConverter
}

// NewCompositeDataConverter makes a converter of converters, which are tried in the order given.
func NewCompositeDataConverter(converters ...PayloadConverter) DataConverter {
	c := &CompositeDataConverter{converters, map[string]PayloadConverter{}}
	for _, converter := range converters {
		c.byEncoding[converter.Encoding()] = converter
	}
	return c
}

var defaultDataConverter = NewCompositeDataConverter(
	NewNilPayloadConverter(),
	NewByteSlicePayloadConverter(),
	NewProtoJSONPayloadConverter(),
	NewProtoPayloadConverter(),
	NewJSONPayloadConverter(),
)

// GetDefaultDataConverter is the converter that is used unless told otherwise.
func GetDefaultDataConverter() DataConverter { return defaultDataConverter }

// ToPayload encodes a value with the first converter that takes it.
func (c *CompositeDataConverter) ToPayload(value any) (*commonpb.Payload, error) {
	if raw, ok := value.(RawValue); ok {
		return raw.payload, nil
	}
	for _, converter := range c.inOrder {
		payload, err := converter.ToPayload(value)
		if err != nil || payload != nil {
			return payload, err
		}
	}
	return nil, fmt.Errorf("value: %v of type: %T: %w", value, value, ErrUnableToFindConverter)
}

// FromPayload decodes a payload with the converter of its encoding.
func (c *CompositeDataConverter) FromPayload(payload *commonpb.Payload, valuePtr any) error {
	if payload == nil {
		return nil
	}
	if raw, ok := valuePtr.(*RawValue); ok {
		raw.payload = payload
		return nil
	}
	encoding := string(payload.GetMetadata()[MetadataEncoding])
	converter, ok := c.byEncoding[encoding]
	if !ok {
		return fmt.Errorf("encoding %q: %w", encoding, ErrUnableToFindConverter)
	}
	return converter.FromPayload(payload, valuePtr)
}

// ToPayloads encodes values; nil for none.
func (c *CompositeDataConverter) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	return toPayloads(c, values)
}

func toPayloads(c DataConverter, values []any) (*commonpb.Payloads, error) {
	if len(values) == 0 {
		return nil, nil
	}
	payloads := make([]*commonpb.Payload, len(values))
	for i, value := range values {
		payload, err := c.ToPayload(value)
		if err != nil {
			return nil, fmt.Errorf("values[%d]: %w", i, err)
		}
		payloads[i] = payload
	}
	return &commonpb.Payloads{Payloads: payloads}, nil
}

// FromPayloads decodes payloads in order.
func (c *CompositeDataConverter) FromPayloads(payloads *commonpb.Payloads, valuePtrs ...any) error {
	return fromPayloads(c, payloads, valuePtrs)
}

func fromPayloads(c DataConverter, payloads *commonpb.Payloads, valuePtrs []any) error {
	for i, payload := range payloads.GetPayloads() {
		if i >= len(valuePtrs) {
			break
		}
		if err := c.FromPayload(payload, valuePtrs[i]); err != nil {
			return fmt.Errorf("payload item %d: %w", i, err)
		}
	}
	return nil
}

// ToString is the payload for human eyes.
func (c *CompositeDataConverter) ToString(payload *commonpb.Payload) string {
	encoding := string(payload.GetMetadata()[MetadataEncoding])
	if converter, ok := c.byEncoding[encoding]; ok {
		return converter.ToString(payload)
	}
	return fmt.Sprintf("%d bytes of %q", len(payload.GetData()), encoding)
}

// ToStrings is ToString of each payload.
func (c *CompositeDataConverter) ToStrings(payloads *commonpb.Payloads) []string {
	var texts []string
	for _, payload := range payloads.GetPayloads() {
		texts = append(texts, c.ToString(payload))
	}
	return texts
}

// CodecDataConverter applies codecs around another converter.
type CodecDataConverter struct {
	parent DataConverter
	codecs []PayloadCodec
}

// NewCodecDataConverter makes a converter that encodes with parent and then with the codecs, last one first.
func NewCodecDataConverter(parent DataConverter, codecs ...PayloadCodec) DataConverter {
	return &CodecDataConverter{parent, codecs}
}

// ToPayload encodes a value.
func (c *CodecDataConverter) ToPayload(value any) (*commonpb.Payload, error) {
	payload, err := c.parent.ToPayload(value)
	if payload == nil || err != nil {
		return payload, err
	}
	encoded := []*commonpb.Payload{payload}
	for i := len(c.codecs) - 1; i >= 0; i-- {
		if encoded, err = c.codecs[i].Encode(encoded); err != nil {
			return nil, err
		}
	}
	if len(encoded) != 1 {
		return nil, fmt.Errorf("the codec made %d payloads of one", len(encoded))
	}
	return encoded[0], nil
}

func (c *CodecDataConverter) decode(payload *commonpb.Payload) (*commonpb.Payload, error) {
	decoded := []*commonpb.Payload{payload}
	for _, codec := range c.codecs {
		var err error
		if decoded, err = codec.Decode(decoded); err != nil {
			return nil, err
		}
	}
	if len(decoded) != 1 {
		return nil, fmt.Errorf("the codec made %d payloads of one", len(decoded))
	}
	return decoded[0], nil
}

// FromPayload decodes a payload.
func (c *CodecDataConverter) FromPayload(payload *commonpb.Payload, valuePtr any) error {
	if payload == nil {
		return nil
	}
	decoded, err := c.decode(payload)
	if err != nil {
		return err
	}
	return c.parent.FromPayload(decoded, valuePtr)
}

// ToPayloads encodes values.
func (c *CodecDataConverter) ToPayloads(values ...any) (*commonpb.Payloads, error) {
	return toPayloads(c, values)
}

// FromPayloads decodes payloads in order.
func (c *CodecDataConverter) FromPayloads(payloads *commonpb.Payloads, valuePtrs ...any) error {
	return fromPayloads(c, payloads, valuePtrs)
}

// ToString is the payload for human eyes.
func (c *CodecDataConverter) ToString(payload *commonpb.Payload) string {
	decoded, err := c.decode(payload)
	if err != nil {
		return err.Error()
	}
	return c.parent.ToString(decoded)
}

// ToStrings is ToString of each payload.
func (c *CodecDataConverter) ToStrings(payloads *commonpb.Payloads) []string {
	var texts []string
	for _, payload := range payloads.GetPayloads() {
		texts = append(texts, c.ToString(payload))
	}
	return texts
}
