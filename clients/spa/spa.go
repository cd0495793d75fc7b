package spa

import (
	"fmt"
	"net/http"
)

// New returns the application, or an error that names every fault of the configuration.
func New(config Config) (http.Handler, error) {
	_, err := config.withDefaults()
	if err != nil {
		return nil, fmt.Errorf("configure the application: %w", err)
	}
	return http.NewServeMux(), nil
}
