package main

import (
	"bytes"
	"debug/elf"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// top is the repository.
const top = "../.."

// runLatchkey runs the program as main does, and returns what it said.
func runLatchkey(t *testing.T, env []string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs bytes.Buffer
	code = Run(t.Context(), args, strings.NewReader(""), &out, &errs, env)
	return code, out.String(), errs.String()
}

// instruction is one of a Dockerfile.
type instruction struct{ word, rest string }

func readDockerfile(t *testing.T) (stages [][]instruction) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, "Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	var lines []string
	for line := range strings.SplitSeq(string(text), "\n") {
		if trimmed := strings.TrimSpace(line); trimmed == "" || strings.HasPrefix(trimmed, "#") {
			continue
		}
		if n := len(lines); n > 0 && strings.HasSuffix(lines[n-1], "\\") {
			lines[n-1] = strings.TrimSuffix(lines[n-1], "\\") + strings.TrimSpace(line)
			continue
		}
		lines = append(lines, strings.TrimSpace(line))
	}
	for _, line := range lines {
		word, rest, _ := strings.Cut(line, " ")
		if word == "FROM" {
			stages = append(stages, nil)
		}
		if len(stages) == 0 {
			t.Fatalf("%q comes before FROM", line)
		}
		stages[len(stages)-1] = append(stages[len(stages)-1], instruction{word, strings.TrimSpace(rest)})
	}
	if len(stages) != 2 {
		t.Fatalf("%d stages, want one that builds and one that runs", len(stages))
	}
	return stages
}

func instructions(stage []instruction, word string) (out []string) {
	for _, i := range stage {
		if i.word == word {
			out = append(out, i.rest)
		}
	}
	return out
}

func instructionOf(t *testing.T, stage []instruction, word string) string {
	t.Helper()
	found := instructions(stage, word)
	if len(found) != 1 {
		t.Fatalf("%d of %s, want one", len(found), word)
	}
	return found[0]
}

// inContext reports whether .dockerignore lets a file through to the builder: the last rule that
// fits decides.
func inContext(t *testing.T) func(name string) bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(top, ".dockerignore"))
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		pattern *regexp.Regexp
		keep    bool
	}
	var rules []rule
	for line := range strings.SplitSeq(string(text), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, keep := strings.CutPrefix(line, "!")
		re := strings.NewReplacer(`\*\*/`, `(.*/)?`, `\*`, `[^/]*`).Replace(regexp.QuoteMeta(pattern))
		rules = append(rules, rule{regexp.MustCompile(`^` + re + `(/.*)?$`), keep})
	}
	return func(name string) bool {
		keep := true
		for _, r := range rules {
			if r.pattern.MatchString(name) {
				keep = r.keep
			}
		}
		return keep
	}
}

func TestTheImageIsAStaticBinaryThatRunsAsNobodyInParticular(t *testing.T) {
	t.Parallel()
	stages := readDockerfile(t)
	build, final := stages[0], stages[1]

	if from := instructionOf(t, final, "FROM"); !strings.HasPrefix(from, "gcr.io/distroless/static-") ||
		!strings.HasSuffix(from, ":nonroot") {
		t.Errorf("the image is made from %s", from)
	}
	goMod, err := os.ReadFile(filepath.Join(top, "go.mod"))
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (1\.\d+)`).FindSubmatch(goMod)
	if version == nil || !strings.Contains(instructionOf(t, build, "FROM"), "golang:"+string(version[1])+" ") {
		t.Errorf("built from %s, but go.mod says go %s", instructionOf(t, build, "FROM"), version)
	}
	if user := instructionOf(t, final, "USER"); !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s: platforms that insist on a user other than root want a number", user)
	}

	environment := os.Environ()
	environment = slices.DeleteFunc(environment, func(kv string) bool { return strings.HasPrefix(kv, "LATCHKEY_") })
	environment = append(environment, strings.Fields(instructionOf(t, final, "ENV"))...)
	environment = append(environment, "LATCHKEY_ISSUER=http://localhost:8080")
	code, out, errs := runLatchkey(t, environment, "config", "check", "--json")
	if code != 0 {
		t.Fatalf("the image's own environment is refused: %s", errs)
	}
	var checked struct{ Settings map[string]any }
	if err := json.Unmarshal([]byte(out), &checked); err != nil {
		t.Fatal(err)
	}
	if data := checked.Settings["data"]; data != instructionOf(t, final, "VOLUME") {
		t.Errorf("data goes to %v, the volume is %s", data, instructionOf(t, final, "VOLUME"))
	}
	if listen := checked.Settings["listen"]; listen != ":"+instructionOf(t, final, "EXPOSE") {
		t.Errorf("it listens at %v, EXPOSE says %s", listen, instructionOf(t, final, "EXPOSE"))
	}

	var entry, cmd, health []string
	healthcheck := instructionOf(t, final, "HEALTHCHECK")
	for text, list := range map[string]*[]string{instructionOf(t, final, "ENTRYPOINT"): &entry,
		instructionOf(t, final, "CMD"): &cmd, healthcheck[strings.Index(healthcheck, "["):]: &health} {
		if err := json.Unmarshal([]byte(text), list); err != nil {
			t.Fatalf("%s: there is no shell that could read this: %v", text, err)
		}
	}
	isVerb(t, append(slices.Clone(entry), cmd...))
	isVerb(t, health)
	for _, label := range []string{"title", "description", "licenses", "version"} {
		if !strings.Contains(instructionOf(t, final, "LABEL"), "org.opencontainers.image."+label+"=") {
			t.Errorf("no label org.opencontainers.image.%s", label)
		}
	}
}

// isVerb reports whether the program knows this command with these flags. The first element is the
// program.
func isVerb(t *testing.T, command []string) {
	t.Helper()
	if len(command) == 0 || command[0] != "/latchkey" {
		t.Errorf("%q does not start /latchkey", command)
		return
	}
	sh := &shell{}
	cmd, rest, err := sh.rootCommand().Find(command[1:])
	if err != nil || cmd.HasSubCommands() {
		t.Errorf("%q is no command: %v", command, err)
		return
	}
	if err := cmd.ParseFlags(rest); err != nil && !slices.Contains(rest, "--help") {
		t.Errorf("%q: %v", command, err)
	}
	if err := cmd.ValidateArgs(cmd.Flags().Args()); err != nil && !slices.Contains(rest, "--help") {
		t.Errorf("%q: %v", command, err)
	}
}

// The context is laid out as the builder would get it, and the RUN line is run in it: what
// .dockerignore keeps back or COPY forgets is missing here too.
func TestTheImagesBuildCommandBuildsWhatTheContextHas(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the image is for Linux, and its command is run as it is")
	}
	build, final := readDockerfile(t)[0], readDockerfile(t)[1]
	src, sent := t.TempDir(), inContext(t)
	for _, unwanted := range []string{".env", ".git/config", "data/latchkey.db", "cmd/latchkey/master.key",
		"keys/seal_test.go", "docs/deploy/tls/tls.key"} {
		if sent(unwanted) {
			t.Errorf("%s would be sent to the builder", unwanted)
		}
	}
	copied := 0
	for _, line := range instructions(build, "COPY") {
		fields := strings.Fields(line)
		for _, from := range fields[:len(fields)-1] {
			to := fields[len(fields)-1]
			err := filepath.WalkDir(filepath.Join(top, from), func(p string, d fs.DirEntry, err error) error {
				if err != nil {
					return err
				}
				name, err := filepath.Rel(top, p)
				if err != nil || d.IsDir() || !sent(filepath.ToSlash(name)) {
					return err
				}
				target := filepath.Join(src, to, strings.TrimPrefix(name, from))
				if to == "./" {
					target = filepath.Join(src, name)
				}
				text, err := os.ReadFile(p)
				if err != nil {
					return err
				}
				copied++
				if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
					return err
				}
				return os.WriteFile(target, text, 0o644)
			})
			if err != nil {
				t.Fatalf("COPY %s: %v", line, err)
			}
		}
	}
	if copied == 0 {
		t.Fatal("nothing was copied")
	}
	for _, line := range instructions(final, "COPY") {
		if fields := strings.Fields(line); !strings.Contains(line, "--from=") &&
			(!sent(fields[0]) || !isThere(filepath.Join(top, fields[0]))) {
			t.Errorf("COPY %s: not in the context", line)
		}
	}

	var command string
	for _, line := range instructions(build, "RUN") {
		if strings.Contains(line, "go build") {
			command = line
		}
	}
	out := filepath.Join(t.TempDir(), "latchkey")
	if !strings.Contains(command, "-o /out/latchkey") || !slices.ContainsFunc(instructions(final, "COPY"),
		func(c string) bool { return strings.Contains(c, " /out/latchkey /latchkey") }) {
		t.Fatalf("%q does not make what is copied", command)
	}
	run := exec.Command("sh", "-c", strings.Replace(command, "/out/latchkey", out, 1))
	run.Dir = src
	run.Env = append(os.Environ(), "GOFLAGS=", "GOWORK=off", "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH,
		"VERSION=v9.8.7")
	if text, err := run.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", command, err, text)
	}
	f, err := elf.Open(out)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if libraries, err := f.ImportedLibraries(); err != nil || len(libraries) > 0 {
		t.Errorf("it needs %v, which the image does not have (%v)", libraries, err)
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			t.Error("it needs a loader, which the image does not have")
		}
	}
	said, err := exec.Command(out, "version").Output()
	if err != nil || string(said) != "latchkey v9.8.7\n" {
		t.Errorf("%q %v", said, err)
	}
}

func isThere(name string) bool {
	_, err := os.Stat(name)
	return err == nil
}

// composeService is what is looked at of a service in docker-compose.yml.
type composeService struct {
	Image       string
	Build       struct{ Context string }
	ReadOnly    bool     `yaml:"read_only"`
	CapDrop     []string `yaml:"cap_drop"`
	Entrypoint  []string
	Command     []string
	Environment map[string]string
	Volumes     []string
	Tmpfs       []string
	Ports       []string
	Profiles    []string
	Healthcheck struct {
		Test    []string
		Disable bool
	}
	DependsOn map[string]struct{ Condition string } `yaml:"depends_on"`
	Networks  yaml.Node
}

type composeFile struct {
	Services map[string]composeService
	Networks map[string]struct {
		IPAM struct{ Config []struct{ Subnet string } }
	}
	Volumes map[string]any
}

var variable = regexp.MustCompile(`\$\{(\w+)(?:(:-|:\?)([^}]*))?\}`)

// readCompose reads docker-compose.yml with the variables that an .env made by docs/deploy/new-env
// sets, as docker compose would.
func readCompose(t *testing.T) (composeFile, map[string]string) {
	t.Helper()
	bash, err := exec.LookPath("bash")
	if err == nil {
		_, err = exec.LookPath("openssl")
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("docs/deploy/new-env needs bash and openssl: ", err)
	}
	folder := t.TempDir()
	run := exec.Command(bash, filepath.Join(top, "docs/deploy/new-env"), "example.com")
	run.Env = append(os.Environ(), "TOP="+folder)
	if out, err := run.CombinedOutput(); err != nil {
		t.Fatalf("new-env: %v\n%s", err, out)
	}
	envFile := filepath.Join(folder, ".env")
	if info, err := os.Stat(envFile); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf(".env is %v, %v; it holds the master key", info.Mode(), err)
	}
	again := exec.Command(bash, filepath.Join(top, "docs/deploy/new-env"), "example.com")
	again.Env = run.Env
	if again.Run() == nil {
		t.Error("new-env wrote over an .env that was there")
	}
	set := readEnvFile(t, envFile)
	for _, name := range []string{"LATCHKEY_MASTER_KEY", "MONGODB_PASSWORD", "MONGODB_ROOT_PASSWORD", "MONGODB_KEY",
		"SAMPLES_SECRET", "TLS_FOLDER"} {
		if set[name] == "" {
			t.Errorf("new-env leaves %s empty", name)
		}
		if example := readEnvFile(t, filepath.Join(top, ".env.example")); example[name] != "" {
			t.Errorf(".env.example has a value for %s that everybody would share", name)
		}
	}

	text, err := os.ReadFile(filepath.Join(top, "docker-compose.yml"))
	if err != nil {
		t.Fatal(err)
	}
	used := map[string]bool{}
	text = regexp.MustCompile(`(?m)^\s*#.*$`).ReplaceAll(text, nil)
	text = variable.ReplaceAllFunc(text, func(match []byte) []byte {
		m := variable.FindSubmatch(match)
		name, operator := string(m[1]), string(m[2])
		used[name] = true
		if set[name] != "" {
			return []byte(set[name])
		}
		if operator != ":-" {
			t.Errorf("%s: docker compose would stop here, because .env does not set it", match)
		}
		return m[3]
	})
	for name := range set {
		if !used[name] && name != "COMPOSE_PROFILES" {
			t.Errorf(".env sets %s, which nothing uses", name)
		}
	}
	var c composeFile
	if err := yaml.Unmarshal(text, &c); err != nil {
		t.Fatal(err)
	}
	if len(c.Services) == 0 {
		t.Fatal("no service")
	}
	return c, set
}

func readEnvFile(t *testing.T, name string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	set := map[string]string{}
	for line := range strings.SplitSeq(string(text), "\n") {
		if k, v, ok := strings.Cut(line, "="); ok && !strings.HasPrefix(line, "#") {
			set[k] = v
		}
	}
	return set
}

func TestComposeNamesOnlyWhatIsThere(t *testing.T) {
	t.Parallel()
	c, _ := readCompose(t)
	instances, members := 0, 0
	for name, s := range c.Services {
		if !s.ReadOnly {
			t.Errorf("%s: its root is not read-only", name)
		}
		if s.Image == "" || strings.HasSuffix(s.Image, ":latest") || !strings.Contains(s.Image, ":") {
			t.Errorf("%s: image %q has no fixed version", name, s.Image)
		}
		for _, v := range s.Volumes {
			from, _, _ := strings.Cut(v, ":")
			switch {
			case strings.HasPrefix(from, "./docs/deploy/tls"): // new-env makes it
			case strings.HasPrefix(from, "."):
				if !isThere(filepath.Join(top, from)) {
					t.Errorf("%s: %s is not there", name, from)
				}
				if !strings.HasSuffix(v, ":ro") {
					t.Errorf("%s: %s could be written to", name, from)
				}
			case !strings.HasPrefix(from, "/"):
				if _, ok := c.Volumes[from]; !ok {
					t.Errorf("%s: there is no volume %s", name, from)
				}
			}
		}
		for other, d := range s.DependsOn {
			o, ok := c.Services[other]
			switch {
			case !ok:
				t.Errorf("%s depends on %s, which is not there", name, other)
			case d.Condition == "service_healthy" && (o.Healthcheck.Disable || len(o.Healthcheck.Test) == 0):
				t.Errorf("%s waits for %s to be healthy, which never says so", name, other)
			case d.Condition != "service_healthy" && d.Condition != "service_completed_successfully":
				t.Errorf("%s depends on %s: %q", name, other, d.Condition)
			case len(o.Profiles) > 0 && !slices.Equal(o.Profiles, s.Profiles):
				t.Errorf("%s depends on %s, which may be left out", name, other)
			}
		}
		for _, p := range s.Ports {
			if !strings.HasPrefix(p, "127.0.0.1:") {
				t.Errorf("%s: %s is open to everybody unless somebody closes it", name, p)
			}
			if name != "proxy" {
				t.Errorf("%s can be reached past the proxy", name)
			}
		}
		switch {
		case strings.HasPrefix(s.Image, "latchkey:"):
			if s.Build.Context != "." || !slices.Equal(s.CapDrop, []string{"ALL"}) {
				t.Errorf("%s: build %q, capabilities dropped %q", name, s.Build.Context, s.CapDrop)
			}
			checkLatchkeyService(t, name, s)
			if len(s.Profiles) == 0 {
				instances++
			}
		case strings.HasPrefix(s.Image, "mongo:") && len(s.DependsOn) == 0:
			members++
		}
	}
	if instances != 2 || members != 3 {
		t.Errorf("%d instances and %d members, want 2 and 3", instances, members)
	}
}

// checkLatchkeyService asks the program itself what it makes of the service's environment and
// command.
func checkLatchkeyService(t *testing.T, name string, s composeService) {
	t.Helper()
	final := readDockerfile(t)[1]
	entry, command := s.Entrypoint, s.Command
	if entry == nil {
		if err := json.Unmarshal([]byte(instructionOf(t, final, "ENTRYPOINT")), &entry); err != nil {
			t.Fatal(err)
		}
	}
	if command == nil {
		if err := json.Unmarshal([]byte(instructionOf(t, final, "CMD")), &command); err != nil {
			t.Fatal(err)
		}
	}
	isVerb(t, append(slices.Clone(entry), command...))
	if !s.Healthcheck.Disable {
		if len(s.Healthcheck.Test) == 0 || s.Healthcheck.Test[0] != "CMD" {
			t.Errorf("%s: healthcheck %q needs a shell, or is missing", name, s.Healthcheck.Test)
		} else {
			isVerb(t, s.Healthcheck.Test[1:])
		}
	}
	env := strings.Fields(instructionOf(t, final, "ENV"))
	configured := false
	for k, v := range s.Environment {
		if k == "LATCHKEY_OUTBOUND_CA_FILE" {
			if !slices.ContainsFunc(s.Volumes, func(volume string) bool {
				return strings.HasSuffix(volume,
					":"+v+":ro")
			}) {
				t.Errorf("%s: nothing is at %s", name, v)
			}
			continue
		}
		configured = configured || strings.HasPrefix(k, "LATCHKEY_")
		env = append(env, k+"="+v)
	}
	if !configured {
		return
	}
	code, out, errs := runLatchkey(t, env, "config", "check", "--json")
	if code != 0 {
		t.Errorf("%s: the program refuses its configuration: %s", name, errs)
		return
	}
	var checked struct {
		Settings map[string]any
		Store    string
		Warnings []string
	}
	if err := json.Unmarshal([]byte(out), &checked); err != nil {
		t.Fatal(err)
	}
	if checked.Store != "MongoDB" || len(checked.Warnings) > 0 ||
		checked.Settings["issuer"] != "https://id.example.com" {
		t.Errorf("%s: %s", name, out)
	}
}

func TestComposeAndProxyAgreeOnAddressesAndPorts(t *testing.T) {
	t.Parallel()
	c, set := readCompose(t)
	text, err := os.ReadFile(filepath.Join(top, "docs/deploy/nginx/latchkey.conf.template"))
	if err != nil {
		t.Fatal(err)
	}
	conf := strings.ReplaceAll(string(text), "${DOMAIN}", set["DOMAIN"])
	for _, m := range regexp.MustCompile(`\$\{\w+\}`).FindAllString(conf, -1) {
		t.Errorf("the proxy's container has no variable %s", m)
	}
	for _, m := range regexp.MustCompile(`(?m)(?:server |http://)(\w+):(\d+)`).FindAllStringSubmatch(conf, -1) {
		s, ok := c.Services[m[1]]
		listens := strings.Contains(s.Environment["LATCHKEY_LISTEN"], ":"+m[2]) || slices.Contains(s.Command, ":"+m[2])
		if !ok || !listens {
			t.Errorf("the proxy goes to %s, where nothing listens", m[0])
		}
	}
	proxy := c.Services["proxy"]
	for _, m := range regexp.MustCompile(`ssl_certificate(?:_key)?\s+(/\S+);`).FindAllStringSubmatch(conf, -1) {
		if !slices.ContainsFunc(proxy.Volumes,
			func(v string) bool { return strings.HasSuffix(v, ":"+path.Dir(m[1])+":ro") }) {
			t.Errorf("%s is not mounted", m[1])
		}
	}
	for _, p := range proxy.Ports {
		if port := p[strings.LastIndex(p, ":")+1:]; !strings.Contains(conf, "listen "+port+" ") {
			t.Errorf("port %s is published, and the proxy does not listen at it", port)
		}
	}

	var networks map[string]struct {
		Address string `yaml:"ipv4_address"`
		Aliases []string
	}
	if err := proxy.Networks.Decode(&networks); err != nil {
		t.Fatal(err)
	}
	inside := networks["inside"]
	address, err := netip.ParseAddr(inside.Address)
	if err != nil || len(c.Networks["inside"].IPAM.Config) != 1 ||
		!netip.MustParsePrefix(c.Networks["inside"].IPAM.Config[0].Subnet).Contains(address) {
		t.Errorf("the proxy's address %q is not in the network %v", inside.Address, c.Networks)
	}
	served := regexp.MustCompile(`server_name ([^;]+);`).FindAllStringSubmatch(conf, -1)
	var names []string
	for _, m := range served {
		names = append(names, strings.Fields(m[1])...)
	}
	slices.Sort(names)
	slices.Sort(inside.Aliases)
	if !slices.Equal(names, inside.Aliases) || len(names) == 0 {
		t.Errorf("the proxy serves %q, and is known inside as %q", names, inside.Aliases)
	}
	for _, s := range []string{"latchkey1", "latchkey2"} {
		env := c.Services[s].Environment
		if env["LATCHKEY_TRUSTED_PROXIES"] != inside.Address ||
			env["LATCHKEY_OUTBOUND_ALLOW_PRIVATE"] != inside.Address+"/32" {
			t.Errorf("%s trusts another proxy: %v", s, env)
		}
		if !slices.Contains(names, strings.TrimPrefix(env["LATCHKEY_ISSUER"], "https://")) {
			t.Errorf("the proxy does not serve the issuer %s", env["LATCHKEY_ISSUER"])
		}
	}
	m := sampleSet{domain: set["DOMAIN"], secret: set["SAMPLES_SECRET"]}.manifest()
	for _, client := range m.Clients {
		if !slices.Contains(names, client.ClientID+"."+set["DOMAIN"]) {
			t.Errorf("the proxy does not serve the application %s", client.ClientID)
		}
	}
}

func TestTheReplicaSetIsMadeOfTheMembersThatCompose(t *testing.T) {
	t.Parallel()
	c, set := readCompose(t)
	text, err := os.ReadFile(filepath.Join(top, "docs/deploy/mongodb/replica-set.js"))
	if err != nil {
		t.Fatal(err)
	}
	script := string(text)
	uri := c.Services["latchkey1"].Environment["LATCHKEY_MONGODB"]
	for i := 1; i <= 3; i++ {
		member := fmt.Sprintf("mongo%d", i)
		s := c.Services[member]
		if !strings.Contains(script, fmt.Sprintf(`{ _id: %d, host: "%s:27017" }`, i-1, member)) ||
			!strings.Contains(uri, member+":27017") {
			t.Errorf("%s is not a member in replica-set.js or in %s", member, uri)
		}
		if !slices.Contains(s.Command, "--keyFile") || !slices.Contains(s.Command, "rs0") ||
			s.Environment["MONGODB_KEY"] != set["MONGODB_KEY"] {
			t.Errorf("%s is open to whoever reaches it: %v %v", member, s.Command, s.Environment)
		}
		if !slices.ContainsFunc(s.Volumes, func(v string) bool {
			return strings.HasSuffix(v,
				":"+s.Entrypoint[1]+":ro")
		}) {
			t.Errorf("%s: %s is not mounted", member, s.Entrypoint[1])
		}
	}
	for _, want := range []string{`_id: "rs0"`, "replicaSet=rs0"} {
		if !strings.Contains(script, want) {
			t.Errorf("replica-set.js has no %s", want)
		}
	}
	if !strings.Contains(uri, "replicaSet=rs0") || !strings.Contains(uri, "/latchkey?") {
		t.Error(uri)
	}
	initialise := c.Services["mongo-init"]
	for _, m := range regexp.MustCompile(`process\.env\.(\w+)`).FindAllStringSubmatch(script, -1) {
		if initialise.Environment[m[1]] == "" {
			t.Errorf("replica-set.js reads %s, which is not set", m[1])
		}
	}
	if file := initialise.Entrypoint[len(initialise.Entrypoint)-1]; !slices.ContainsFunc(initialise.Volumes,
		func(v string) bool { return strings.HasSuffix(v, ":"+file+":ro") }) {
		t.Errorf("%s is not mounted", file)
	}
	for _, check := range [][]string{{"bash", "-n", "member.sh"}, {"node", "--check", "replica-set.js"}} {
		if _, err := exec.LookPath(check[0]); err != nil {
			t.Logf("no %s to look at %s with", check[0], check[2])
			continue
		}
		run := exec.Command(check[0], check[1:]...)
		run.Dir = filepath.Join(top, "docs/deploy/mongodb")
		if out, err := run.CombinedOutput(); err != nil {
			t.Errorf("%s: %v\n%s", check, err, out)
		}
	}
}
