package storage

import (
	"fmt"

	"go.mongodb.org/mongo-driver/v2/bson"
)

// encode writes a record as a BSON document. Both stores keep their records in this form, so that one set of struct
// tags says what is kept and under which name, and a record reads the same from either.
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
