package storage

import (
	"encoding/binary"
	"fmt"
	"strings"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// encode writes a record as a BSON document. Both engines keep their records in this form, so that
// one set of struct tags says what is kept and under which name, and a record reads the same from
// either.
func encode(record any) ([]byte, error) {
	doc, err := bson.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("encode %T: %w", record, err)
	}
	return doc, nil
}

// decode reads a document that encode wrote.
func decode(doc []byte, record any) error {
	if err := bson.Unmarshal(doc, record); err != nil {
		return fmt.Errorf("decode %T: %w", record, err)
	}
	return nil
}

// field is a field of a document, also of one inside it, as a column has it: a string, an int64 (a
// time in milliseconds, a number, or 1 for true), or nil if it is absent, false or of another type.
func field(doc []byte, name string) any {
	outer, inner, nested := strings.Cut(name, ".")
	v, err := bson.Raw(doc).LookupErr(outer)
	if err == nil && nested {
		within, ok := v.DocumentOK()
		if !ok {
			return nil
		}
		v, err = within.LookupErr(inner)
	}
	if err != nil {
		return nil
	}
	switch v.Type {
	case bson.TypeString:
		return v.StringValue()
	case bson.TypeDateTime:
		return v.DateTime()
	case bson.TypeInt32, bson.TypeInt64:
		return v.AsInt64()
	case bson.TypeBoolean:
		if v.Boolean() {
			return int64(1)
		}
	}
	return nil
}

// fieldTexts is a top-level field that is a list of texts.
func fieldTexts(doc []byte, name string) []string {
	v, err := bson.Raw(doc).LookupErr(name)
	if err != nil || v.Type != bson.TypeArray {
		return nil
	}
	elements, err := v.Array().Values()
	if err != nil {
		return nil
	}
	var all []string
	for _, e := range elements {
		if text, ok := e.StringValueOK(); ok {
			all = append(all, text)
		}
	}
	return all
}

// version is the version that a document says it has.
func version(doc []byte) int64 {
	v, _ := bson.Raw(doc).Lookup(fieldVersion).AsInt64OK()
	return v
}

// stamped is a copy of a document that does not have the field, with the field at its end, and with
// the next version.
func stamped(doc []byte, name string, at time.Time) []byte {
	out := make([]byte, 0, len(doc)+len(name)+10)
	out = append(out, doc[:len(doc)-1]...)
	end := 4 // of the element, after the length of the document
	elements, _ := bson.Raw(doc).Elements()
	for _, e := range elements {
		end += len(e)
		if e.Key() == fieldVersion && e.Value().Type == bson.TypeInt64 {
			binary.LittleEndian.PutUint64(out[end-8:], uint64(e.Value().Int64()+1))
		}
	}
	out = append(out, byte(bson.TypeDateTime))
	out = append(append(out, name...), 0)
	out = binary.LittleEndian.AppendUint64(out, uint64(at.UnixMilli()))
	out = append(out, 0)
	binary.LittleEndian.PutUint32(out, uint32(len(out)))
	return out
}
