package oauth

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
)

// Code is the value of the error member of an error response.
type Code string

const (
	InvalidRequest          Code = "invalid_request"           // RFC 6749 §4.1.2.1, §5.2
	InvalidClient           Code = "invalid_client"            // RFC 6749 §5.2
	InvalidGrant            Code = "invalid_grant"             // RFC 6749 §5.2
	UnauthorizedClient      Code = "unauthorized_client"       // RFC 6749 §4.1.2.1, §5.2
	UnsupportedGrantType    Code = "unsupported_grant_type"    // RFC 6749 §5.2
	InvalidScope            Code = "invalid_scope"             // RFC 6749 §4.1.2.1, §5.2
	AccessDenied            Code = "access_denied"             // RFC 6749 §4.1.2.1
	UnsupportedResponseType Code = "unsupported_response_type" // RFC 6749 §4.1.2.1
	ServerError             Code = "server_error"              // RFC 6749 §4.1.2.1
	TemporarilyUnavailable  Code = "temporarily_unavailable"   // RFC 6749 §4.1.2.1

	InvalidToken      Code = "invalid_token"      // RFC 6750 §3.1
	InsufficientScope Code = "insufficient_scope" // RFC 6750 §3.1

	UnsupportedTokenType Code = "unsupported_token_type" // RFC 7009 §2.2.1

	InvalidRedirectURI          Code = "invalid_redirect_uri"          // RFC 7591 §3.2.2
	InvalidClientMetadata       Code = "invalid_client_metadata"       // RFC 7591 §3.2.2
	InvalidSoftwareStatement    Code = "invalid_software_statement"    // RFC 7591 §3.2.2
	UnapprovedSoftwareStatement Code = "unapproved_software_statement" // RFC 7591 §3.2.2

	InvalidTarget Code = "invalid_target" // RFC 8707 §2

	InvalidDPoPProof Code = "invalid_dpop_proof" // RFC 9449 §5
	UseDPoPNonce     Code = "use_dpop_nonce"     // RFC 9449 §8

	InteractionRequired      Code = "interaction_required"       // OIDC Core §3.1.2.6
	LoginRequired            Code = "login_required"             // OIDC Core §3.1.2.6
	AccountSelectionRequired Code = "account_selection_required" // OIDC Core §3.1.2.6
	ConsentRequired          Code = "consent_required"           // OIDC Core §3.1.2.6
	InvalidRequestURI        Code = "invalid_request_uri"        // OIDC Core §3.1.2.6, RFC 9101 §7
	InvalidRequestObject     Code = "invalid_request_object"     // OIDC Core §3.1.2.6, RFC 9101 §7
	RequestNotSupported      Code = "request_not_supported"      // OIDC Core §3.1.2.6
	RequestURINotSupported   Code = "request_uri_not_supported"  // OIDC Core §3.1.2.6
	RegistrationNotSupported Code = "registration_not_supported" // OIDC Core §3.1.2.6

	// OpenID Connect Core Error Code unmet_authentication_requirements 1.0 §1
	UnmetAuthenticationRequirements Code = "unmet_authentication_requirements"
)

// Error is a refusal in the standards' words. It has three readers: Code is for the
// program, Description for its developer, the cause for our log only.
type Error struct {
	Code        Code
	Description string // what was expected, in plain ASCII without " or \ (RFC 6749 §5.2)
	Status      int    // HTTP status; 0 means the usual one for Code
	cause       error
}

// Errorf makes an Error whose description is meant for the application's developer.
// It must never carry a secret, and characters that RFC 6749 §5.2 forbids are replaced.
func Errorf(code Code, format string, args ...any) *Error {
	return &Error{Code: code, Description: printable(fmt.Sprintf(format, args...))}
}

// Because attaches what is for the log alone.
func (e *Error) Because(err error) *Error { e.cause = err; return e }

// WithStatus sets the HTTP status of a direct (not redirected) answer.
func (e *Error) WithStatus(status int) *Error { e.Status = status; return e }

func (e *Error) Error() string {
	if e.cause != nil {
		return fmt.Sprintf("%s: %s: %v", e.Code, e.Description, e.cause)
	}
	return fmt.Sprintf("%s: %s", e.Code, e.Description)
}

func (e *Error) Unwrap() error { return e.cause }

// HTTPStatus is the status of a direct answer that carries e (RFC 6749 §5.2, RFC 6750 §3.1).
func (e *Error) HTTPStatus() int {
	if e.Status != 0 {
		return e.Status
	}
	switch e.Code {
	case InvalidClient, InvalidToken:
		return http.StatusUnauthorized
	case InsufficientScope, AccessDenied:
		return http.StatusForbidden
	case ServerError:
		return http.StatusInternalServerError
	case TemporarilyUnavailable:
		return http.StatusServiceUnavailable
	}
	return http.StatusBadRequest
}

// LogValue writes the error as fields of one log line.
func (e *Error) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("error", string(e.Code)), slog.String("error_description", e.Description)}
	if e.cause != nil {
		attrs = append(attrs, slog.String("cause", e.cause.Error()))
	}
	return slog.GroupValue(attrs...)
}

// AsError finds the *Error in err's chain. Anything else is ours: it becomes
// server_error, shows nothing, and keeps err as the cause for the log.
func AsError(err error) *Error {
	var e *Error
	if errors.As(err, &e) {
		return e
	}
	return Errorf(ServerError, "something went wrong on our side; the request identifier is in the log").Because(err)
}

// printable keeps the characters that error_description may carry: %x20-21 / %x23-5B / %x5D-7E
// (RFC 6749 §5.2).
func printable(s string) string {
	b := make([]byte, 0, len(s))
	for _, r := range s {
		switch {
		case r == '"':
			b = append(b, '\'')
		case r == '\\':
			b = append(b, '/')
		case r < 0x20 || r > 0x7e:
			b = append(b, '?')
		default:
			b = append(b, byte(r))
		}
		if len(b) >= 400 {
			break
		}
	}
	return string(b)
}
