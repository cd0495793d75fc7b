package storagetest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.mongodb.org/mongo-driver/v2/bson"
	"go.mongodb.org/mongo-driver/v2/mongo"
	"go.mongodb.org/mongo-driver/v2/mongo/options"

	"latchkey/provider/storage"
)

// Variable names the environment variable with the connection string of a MongoDB deployment for
// tests.
const Variable = "LATCHKEY_TEST_MONGODB"

// startTimeout bounds fetching and starting a server.
const startTimeout = 3 * time.Minute

//go:embed testdata/mongoserver
var mongoserver embed.FS

// leash keeps the standard input of the server open. It ends when that does, which is when this
// process ends, however it does; unless something refers to the pipe, that is when the garbage
// collector comes by.
//
//lint:ignore U1000 nobody reads it: that it refers to the pipe is all it is for
var leash io.WriteCloser

// server is the connection string of the one server of this test process.
var server = sync.OnceValues(startMongo)

var errNoMongo = errors.New("no MongoDB to test with: set " + Variable +
	" to the connection string of a replica set, or put mongod, or java and mvn, on the PATH")

// MongoURI returns a connection string with a database of this test's own, which is dropped at its
// end. Without a server the test is skipped, or fails if CI=true.
func MongoURI(t testing.TB) string {
	t.Helper()
	uri, err := server()
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	uri = withDatabase(uri, "latchkey_test_"+strings.ToLower(rand.Text()[:12]))
	t.Cleanup(func() { dropDatabase(t, uri) })
	return uri
}

// Each runs a test on every kind of store: SQLite in memory, and MongoDB where there is one.
func Each(t *testing.T, run func(t *testing.T, s *storage.Store)) {
	t.Helper()
	t.Run("SQLite", func(t *testing.T) {
		t.Parallel()
		run(t, SQLite(t))
	})
	t.Run("MongoDB", func(t *testing.T) {
		t.Parallel()
		run(t, MongoDB(t))
	})
}

// SQLite is an empty store in memory, closed at the end of the test.
func SQLite(t testing.TB) *storage.Store {
	t.Helper()
	s, err := storage.OpenSQLite(context.Background(), "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

// MongoDB is an empty store in a database of the test's own, closed and dropped at its end. See
// MongoURI.
func MongoDB(t testing.TB) *storage.Store {
	t.Helper()
	s, err := storage.OpenMongoDB(context.Background(), MongoURI(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closeStore(t, s) })
	return s
}

func closeStore(t testing.TB, s io.Closer) {
	if err := s.Close(); err != nil {
		t.Errorf("close the store: %v", err)
	}
}

// withDatabase puts the database into the path of a connection string.
func withDatabase(uri, name string) string {
	scheme, rest, _ := strings.Cut(uri, "://")
	rest, query, asked := strings.Cut(rest, "?")
	hosts, path, _ := strings.Cut(rest, "/")
	if asked {
		query = "?" + query
	}
	// Without authSource, the database in the path is also where a user is looked up.
	if path != "" && strings.Contains(hosts, "@") && !strings.Contains(query, "authSource=") {
		query = "?" + strings.TrimPrefix(query+"&authSource="+path, "?")
	} else if path == "" && strings.Contains(hosts, "@") && !strings.Contains(query, "authSource=") {
		query = "?" + strings.TrimPrefix(query+"&authSource=admin", "?")
	}
	return scheme + "://" + hosts + "/" + name + strings.Replace(query, "?&", "?", 1)
}

// dropDatabase tidies up; that it could not, during an election say, is no failure of the test.
func dropDatabase(t testing.TB, uri string) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	client, err := mongo.Connect(options.Client().ApplyURI(uri))
	if err != nil {
		t.Logf("drop the test's database: %v", err)
		return
	}
	defer client.Disconnect(ctx)
	name := uri[strings.LastIndex(uri, "/")+1:]
	name, _, _ = strings.Cut(name, "?")
	if err := client.Database(name).Drop(ctx); err != nil {
		t.Logf("drop the test's database: %v", err)
	}
}

func startMongo() (string, error) {
	if uri := os.Getenv(Variable); uri != "" {
		return uri, nil
	}
	if mongod, err := exec.LookPath("mongod"); err == nil {
		return startMongod(mongod)
	}
	_, noJava := exec.LookPath("java")
	_, noMvn := exec.LookPath("mvn")
	if noJava != nil || noMvn != nil {
		return "", errNoMongo
	}
	return startJava()
}

// startMongod starts a replica set of one node. The shell in between ends it when its standard
// input does; see leash.
func startMongod(mongod string) (string, error) {
	folder, err := os.MkdirTemp("", "latchkey-mongod-")
	if err != nil {
		return "", err
	}
	port, err := freePort()
	if err != nil {
		return "", err
	}
	const script = `"$1" --dbpath "$2" --port "$3" --bind_ip 127.0.0.1 --replSet rs0 --quiet --logpath "$2/log" &
		pid=$!; cat >/dev/null; kill "$pid"; wait "$pid"; rm -rf "$2"`
	cmd := exec.Command("sh", "-c", script, "sh", mongod, folder, strconv.Itoa(port))
	if leash, err = cmd.StdinPipe(); err != nil {
		return "", err
	}
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start mongod: %w", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
	defer cancel()
	host := "127.0.0.1:" + strconv.Itoa(port)
	client, err := mongo.Connect(options.Client().ApplyURI("mongodb://" + host + "/?directConnection=true"))
	if err != nil {
		return "", err
	}
	defer client.Disconnect(ctx)
	err = client.Database("admin").RunCommand(ctx, bson.D{{Key: "replSetInitiate", Value: bson.D{
		{Key: "_id", Value: "rs0"},
		{Key: "members", Value: bson.A{bson.D{{Key: "_id", Value: 0}, {Key: "host", Value: host}}}},
	}}}).Err()
	if err != nil {
		return "", fmt.Errorf("make mongod a replica set: %w", err)
	}
	uri := "mongodb://" + host + "/?replicaSet=rs0"
	return uri, awaitPrimary(ctx, uri)
}

func awaitPrimary(ctx context.Context, uri string) error {
	client, err := mongo.Connect(options.Client().ApplyURI(uri).SetServerSelectionTimeout(startTimeout))
	if err != nil {
		return err
	}
	defer client.Disconnect(ctx)
	return client.Ping(ctx, nil) // waits for a primary
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// startJava starts mongo-java-server, which chooses a free port and says which.
func startJava() (string, error) {
	classpath, err := javaClasses()
	if err != nil {
		return "", err
	}
	cmd := exec.Command("java", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Xmx512m", "-cp", classpath,
		"ReplicaSet")
	if leash, err = cmd.StdinPipe(); err != nil {
		return "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return "", err
	}
	var problems bytes.Buffer
	cmd.Stderr = &problems
	if err := cmd.Start(); err != nil {
		return "", fmt.Errorf("start mongo-java-server: %w", err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	port, notNumber := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || notNumber != nil {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		return "", fmt.Errorf("mongo-java-server did not start: %s", problems.String())
	}
	return fmt.Sprintf("mongodb://127.0.0.1:%d/?replicaSet=rs0", port), nil
}

// javaClasses fetches what the launcher needs and compiles it, once: the result is kept in the
// user's cache folder, under a name that changes with the sources. Several test processes may do so
// at the same time; the first to be ready wins.
func javaClasses() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		cache = os.TempDir()
	}
	sum := sha256.New()
	sources := make(map[string][]byte)
	for _, name := range []string{"pom.xml", "ReplicaSet.java"} {
		if sources[name], err = mongoserver.ReadFile("testdata/mongoserver/" + name); err != nil {
			return "", err
		}
		sum.Write(sources[name])
	}
	parent := filepath.Join(cache, "latchkey-mongoserver")
	ready := filepath.Join(parent, hex.EncodeToString(sum.Sum(nil))[:16])
	classpath := ready + string(filepath.ListSeparator) + filepath.Join(ready, "lib", "*")
	if _, err := os.Stat(ready); err == nil {
		return classpath, nil
	}
	if err := os.MkdirAll(parent, 0o755); err != nil {
		return "", err
	}
	work, err := os.MkdirTemp(parent, "making-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(work)
	for name, text := range sources {
		if err := os.WriteFile(filepath.Join(work, name), text, 0o644); err != nil {
			return "", err
		}
	}
	for _, step := range [][]string{
		{"mvn", "-q", "-B", "-f", filepath.Join(work, "pom.xml"), "dependency:copy-dependencies", "-DoutputDirectory=" +
			filepath.Join(work, "lib")},
		{"javac", "-cp", filepath.Join(work, "lib", "*"), "-d", work, filepath.Join(work, "ReplicaSet.java")},
	} {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		out, err := exec.CommandContext(ctx, step[0], step[1:]...).CombinedOutput()
		cancel()
		if err != nil {
			return "", fmt.Errorf("prepare mongo-java-server: %s: %w\n%s", step[0], err, out)
		}
	}
	if err := os.Rename(work, ready); err != nil {
		if _, there := os.Stat(ready); there != nil {
			return "", err
		}
	}
	return classpath, nil
}
