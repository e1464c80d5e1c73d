// Package attributes holds typed search attributes. Package temporal shows them to users.
package attributes

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"durably.dev/sdk/converter"
	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
)

// Key is a search attribute's name with the type of its values.
type Key interface {
	GetName() string
	GetValueType() enumspb.IndexedValueType
	GetReflectType() reflect.Type
}

// indexed is a type by which the server indexes values.
type indexed interface {
	valueType() enumspb.IndexedValueType
}

type (
	text        struct{}
	keyword     struct{}
	boolean     struct{}
	integer     struct{}
	double      struct{}
	datetime    struct{}
	keywordList struct{}
)

func (text) valueType() enumspb.IndexedValueType     { return enumspb.INDEXED_VALUE_TYPE_TEXT }
func (keyword) valueType() enumspb.IndexedValueType  { return enumspb.INDEXED_VALUE_TYPE_KEYWORD }
func (boolean) valueType() enumspb.IndexedValueType  { return enumspb.INDEXED_VALUE_TYPE_BOOL }
func (integer) valueType() enumspb.IndexedValueType  { return enumspb.INDEXED_VALUE_TYPE_INT }
func (double) valueType() enumspb.IndexedValueType   { return enumspb.INDEXED_VALUE_TYPE_DOUBLE }
func (datetime) valueType() enumspb.IndexedValueType { return enumspb.INDEXED_VALUE_TYPE_DATETIME }
func (keywordList) valueType() enumspb.IndexedValueType {
	return enumspb.INDEXED_VALUE_TYPE_KEYWORD_LIST
}

// key is a Key of values of type T, which the server indexes as As.
type key[T any, As indexed] struct{ name string }

// New makes a key of one of the types below.
func New[K interface{ named(string) K }](name string) K {
	var key K
	return key.named(name)
}

func (k key[T, As]) named(name string) key[T, As] { return key[T, As]{name} }

func (k key[T, As]) GetName() string { return k.name }

func (k key[T, As]) GetValueType() enumspb.IndexedValueType {
	var as As
	return as.valueType()
}

func (k key[T, As]) GetReflectType() reflect.Type { return reflect.TypeFor[T]() }

// ValueSet sets the attribute to a value.
func (k key[T, As]) ValueSet(value T) Update {
	if list, ok := any(value).([]string); ok {
		value = any(slices.Clone(list)).(T)
	}
	return func(c *Collection) { c.values[k] = value }
}

// ValueUnset takes the attribute away.
func (k key[T, As]) ValueUnset() Update {
	return func(c *Collection) { c.values[k] = nil }
}

// The keys' types.
type (
	String      = key[string, text]
	Keyword     = key[string, keyword]
	Bool        = key[bool, boolean]
	Int64       = key[int64, integer]
	Float64     = key[float64, double]
	Time        = key[time.Time, datetime]
	KeywordList = key[[]string, keywordList]
)

// Update is a change of a Collection.
type Update func(*Collection)

// Collection is a set of typed search attributes.
type Collection struct{ values map[Key]any }

// NewCollection makes a collection by changes of an empty one.
func NewCollection(updates ...Update) Collection {
	c := Collection{map[Key]any{}}
	for _, update := range updates {
		update(&c)
	}
	return c
}

func get[T any](c Collection, k Key) (T, bool) {
	value, ok := c.values[k].(T)
	return value, ok
}

// GetString is the value of an attribute; ok tells whether it has one. So are the others of its kind.
func (c Collection) GetString(k String) (value string, ok bool) { return get[string](c, k) }

func (c Collection) GetKeyword(k Keyword) (string, bool)  { return get[string](c, k) }
func (c Collection) GetBool(k Bool) (bool, bool)          { return get[bool](c, k) }
func (c Collection) GetInt64(k Int64) (int64, bool)       { return get[int64](c, k) }
func (c Collection) GetFloat64(k Float64) (float64, bool) { return get[float64](c, k) }
func (c Collection) GetTime(k Time) (time.Time, bool)     { return get[time.Time](c, k) }
func (c Collection) GetKeywordList(k KeywordList) ([]string, bool) {
	value, ok := get[[]string](c, k)
	return slices.Clone(value), ok
}

// ContainsKey tells whether the attribute is set, or unset.
func (c Collection) ContainsKey(k Key) bool {
	_, ok := c.values[k]
	return ok
}

// Size is the number of attributes.
func (c Collection) Size() int { return len(c.values) }

// GetUntypedValues are the values by their keys; nil for those that are unset.
func (c Collection) GetUntypedValues() map[Key]any { return maps.Clone(c.values) }

// Copy is the change that makes another collection have these attributes too.
func (c Collection) Copy() Update {
	return func(to *Collection) { maps.Copy(to.values, c.values) }
}

// Encode makes the message for a start of a collection, or of values by name; nil for none. What is unset is left out. No
// codec sees the values: they are the server's to read.
func Encode(untyped map[string]any, typed Collection) (*commonpb.SearchAttributes, error) {
	if len(untyped) > 0 && typed.Size() > 0 {
		return nil, fmt.Errorf("SearchAttributes and TypedSearchAttributes are both set: use one of them")
	}
	fields := map[string]*commonpb.Payload{}
	put := func(name string, value any, as enumspb.IndexedValueType) error {
		// What comes from a workflow's Info is encoded already.
		payload, ok := value.(*commonpb.Payload)
		if !ok {
			var err error
			if payload, err = converter.GetDefaultDataConverter().ToPayload(value); err != nil {
				return fmt.Errorf("search attribute %s: %w", name, err)
			}
		}
		if string(payload.GetMetadata()[converter.MetadataEncoding]) == converter.MetadataEncodingNil {
			return nil
		}
		if as != enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED {
			payload.Metadata["type"] = []byte(as.String())
		}
		fields[name] = payload
		return nil
	}
	for _, name := range slices.Sorted(maps.Keys(untyped)) {
		if err := put(name, untyped[name], enumspb.INDEXED_VALUE_TYPE_UNSPECIFIED); err != nil {
			return nil, err
		}
	}
	for k, value := range typed.values {
		if err := put(k.GetName(), value, k.GetValueType()); err != nil {
			return nil, err
		}
	}
	if len(fields) == 0 {
		return nil, nil
	}
	return &commonpb.SearchAttributes{IndexedFields: fields}, nil
}
