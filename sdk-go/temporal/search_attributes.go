package temporal

import (
	"durably.dev/sdk/internal/attributes"
	"durably.dev/sdk/internal/flow"
)

type (
	// Priority orders tasks that wait in a queue. Zero fields have the server's defaults.
	Priority = flow.Priority
	// SearchAttributes is a set of typed search attributes, made by NewSearchAttributes.
	SearchAttributes = attributes.Collection
	// SearchAttributeUpdate is a change of SearchAttributes.
	SearchAttributeUpdate = attributes.Update
	// SearchAttributeKey is a search attribute's name with the type of its values.
	SearchAttributeKey = attributes.Key
	// SearchAttributeKeyString is a key of texts, which are searched by their words.
	SearchAttributeKeyString = attributes.String
	// SearchAttributeKeyKeyword is a key of texts that are searched as they are.
	SearchAttributeKeyKeyword = attributes.Keyword
	// SearchAttributeKeyBool is a key of bools.
	SearchAttributeKeyBool = attributes.Bool
	// SearchAttributeKeyInt64 is a key of integers.
	SearchAttributeKeyInt64 = attributes.Int64
	// SearchAttributeKeyFloat64 is a key of floating-point numbers.
	SearchAttributeKeyFloat64 = attributes.Float64
	// SearchAttributeKeyTime is a key of times.
	SearchAttributeKeyTime = attributes.Time
	// SearchAttributeKeyKeywordList is a key of lists of keywords.
	SearchAttributeKeyKeywordList = attributes.KeywordList
)

// NewSearchAttributes makes search attributes: NewSearchAttributes(customer.ValueSet("Ann"), urgent.ValueSet(true)).
func NewSearchAttributes(updates ...SearchAttributeUpdate) SearchAttributes {
	return attributes.NewCollection(updates...)
}

// NewSearchAttributeKeyString makes a key of texts.
func NewSearchAttributeKeyString(name string) SearchAttributeKeyString {
	return attributes.New[attributes.String](name)
}

// NewSearchAttributeKeyKeyword makes a key of keywords.
func NewSearchAttributeKeyKeyword(name string) SearchAttributeKeyKeyword {
	return attributes.New[attributes.Keyword](name)
}

// NewSearchAttributeKeyBool makes a key of bools.
func NewSearchAttributeKeyBool(name string) SearchAttributeKeyBool {
	return attributes.New[attributes.Bool](name)
}

// NewSearchAttributeKeyInt64 makes a key of integers.
func NewSearchAttributeKeyInt64(name string) SearchAttributeKeyInt64 {
	return attributes.New[attributes.Int64](name)
}

// NewSearchAttributeKeyFloat64 makes a key of floating-point numbers.
func NewSearchAttributeKeyFloat64(name string) SearchAttributeKeyFloat64 {
	return attributes.New[attributes.Float64](name)
}

// NewSearchAttributeKeyTime makes a key of times.
func NewSearchAttributeKeyTime(name string) SearchAttributeKeyTime {
	return attributes.New[attributes.Time](name)
}

// NewSearchAttributeKeyKeywordList makes a key of lists of keywords.
func NewSearchAttributeKeyKeywordList(name string) SearchAttributeKeyKeywordList {
	return attributes.New[attributes.KeywordList](name)
}
