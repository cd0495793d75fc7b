package console

import (
	"slices"
	"strings"

	"latchkey/provider/admin"
)

// Scopes of the API. One that ends in .write includes the one that ends in .read.
const (
	scopePeopleRead        = "admin:people.read"
	scopePeopleWrite       = "admin:people.write"
	scopePeopleCredentials = "admin:people.credentials" // passwords, second factors, lock-outs
	scopeRolesWrite        = "admin:roles.write"
	scopeGroupsRead        = "admin:groups.read"
	scopeGroupsWrite       = "admin:groups.write"
	scopeApplicationsRead  = "admin:applications.read"
	scopeApplicationsWrite = "admin:applications.write"
	scopeSessionsRead      = "admin:sessions.read"
	scopeSessionsWrite     = "admin:sessions.write"
	scopeTokensRead        = "admin:tokens.read"
	scopeTokensWrite       = "admin:tokens.write"
	scopeKeysRead          = "admin:keys.read"
	scopeKeysWrite         = "admin:keys.write"
	scopeAuditRead         = "admin:audit.read"
	scopeMailRead          = "admin:mail.read"
	scopeHealthRead        = "admin:health.read"
	scopeManifestsRead     = "admin:manifests.read"
)

// scopeAbout says what each scope permits, for the OpenAPI document.
var scopeAbout = map[string]string{
	scopePeopleRead:        "Read people, what they may use, and lock-outs",
	scopePeopleWrite:       "Create, change, disable and delete people",
	scopePeopleCredentials: "Set passwords, remove second factors, lift lock-outs",
	scopeRolesWrite:        "Give and take roles",
	scopeGroupsRead:        "Read groups and their members",
	scopeGroupsWrite:       "Create, change and delete groups, add and remove members",
	scopeApplicationsRead:  "Read applications",
	scopeApplicationsWrite: "Register, change and delete applications, change their secrets",
	scopeSessionsRead:      "Read sessions, grants and consents",
	scopeSessionsWrite:     "End sessions, revoke grants and consents",
	scopeTokensRead:        "Read initial access tokens and API keys",
	scopeTokensWrite:       "Make and revoke initial access tokens, revoke API keys",
	scopeKeysRead:          "Read the signing keys", scopeKeysWrite: "Rotate and revoke signing keys",
	scopeAuditRead: "Read the audit log", scopeMailRead: "Read the mail queue",
	scopeHealthRead:    "Read the state of the provider",
	scopeManifestsRead: "Read which files keep what, and what was changed beside them",
}

// verbScope is the scope that a credential needs for each verb. What is not listed no credential
// permits.
var verbScope = map[string]string{
	admin.VerbUserRead: scopePeopleRead, admin.VerbUserCreate: scopePeopleWrite, admin.VerbUserUpdate: scopePeopleWrite,
	admin.VerbUserRename: scopePeopleWrite, admin.VerbUserDisable: scopePeopleWrite,
	admin.VerbUserEnable: scopePeopleWrite,
	admin.VerbUserDelete: scopePeopleWrite, admin.VerbUserRole: scopeRolesWrite,
	admin.VerbUserPassword: scopePeopleCredentials, admin.VerbUserUnlock: scopePeopleCredentials,
	admin.VerbUserFactors: scopePeopleCredentials,

	admin.VerbGroupRead: scopeGroupsRead, admin.VerbMemberRead: scopeGroupsRead,
	admin.VerbGroupCreate: scopeGroupsWrite,
	admin.VerbGroupUpdate: scopeGroupsWrite, admin.VerbGroupAdd: scopeGroupsWrite,
	admin.VerbGroupRemove: scopeGroupsWrite,
	admin.VerbGroupDelete: scopeGroupsWrite,

	admin.VerbClientRead: scopeApplicationsRead, admin.VerbClientCreate: scopeApplicationsWrite,
	admin.VerbClientUpdate: scopeApplicationsWrite,
	admin.VerbClientSecret: scopeApplicationsWrite, admin.VerbClientDelete: scopeApplicationsWrite,

	admin.VerbSessionRead: scopeSessionsRead, admin.VerbGrantRead: scopeSessionsRead,
	admin.VerbSessionEnd:  scopeSessionsWrite,
	admin.VerbUserSignOut: scopeSessionsWrite, admin.VerbGrantRevoke: scopeSessionsWrite,
	admin.VerbConsentRevoke: scopeSessionsWrite,

	admin.VerbTokenRead: scopeTokensRead, admin.VerbTokenCreate: scopeTokensWrite,
	admin.VerbTokenRevoke: scopeTokensWrite,
	admin.VerbAPIKeyRead:  scopeTokensRead, admin.VerbAPIKeyRevoke: scopeTokensWrite,

	admin.VerbKeysRead: scopeKeysRead, admin.VerbKeysRotate: scopeKeysWrite, admin.VerbKeysRevoke: scopeKeysWrite,
	admin.VerbAuditRead: scopeAuditRead, admin.VerbMailRead: scopeMailRead, admin.VerbHealthRead: scopeHealthRead,
	admin.VerbManifestRead: scopeManifestsRead,
}

// permits reports whether a credential with these scopes may be used for what needs one.
func permits(have []string, need string) bool {
	if slices.Contains(have, need) {
		return true
	}
	subject, reads := strings.CutSuffix(need, ".read")
	return reads && slices.Contains(have, subject+".write")
}

// within narrows an actor to what a credential permits.
func within(have []string) func(verb string) bool {
	return func(verb string) bool {
		need, known := verbScope[verb]
		return known && permits(have, need)
	}
}
