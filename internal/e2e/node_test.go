//go:build unix

package e2e_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// nodeDir has the authorization server and the client.
const nodeDir = "node"

// A session is what a person and two machines were given by each of the
// authorization servers. node/signin.js prints it.
type session struct {
	Resource       string             `json:"resource"`
	OtherResource  string             `json:"other_resource"`
	OpaqueResource string             `json:"opaque_resource"`
	Scope          string             `json:"scope"`
	User           string             `json:"user"`
	ClientID       string             `json:"client_id"`
	MachineID      string             `json:"machine_id"`
	API            credentials        `json:"api"`      // of the API, in the header
	FormAPI        credentials        `json:"form_api"` // and in the form
	Issuers        map[string]*issuer `json:"issuers"`  // by algorithm
}

type credentials struct {
	ID     string `json:"id"`
	Secret string `json:"secret"`
}

type issuer struct {
	Issuer string `json:"issuer"`
	Tokens tokens `json:"tokens"`
}

type tokens struct {
	Access          string   `json:"access"` // with all scopes
	ID              string   `json:"id"`     // of the same sign-in, with a nonce
	Refresh         string   `json:"refresh"`
	RefreshedAccess string   `json:"refreshed_access"`
	RefreshedID     string   `json:"refreshed_id"`
	ReaderAccess    string   `json:"reader_access"` // orders:read alone
	ReaderID        string   `json:"reader_id"`     // without a nonce
	ForeignAccess   string   `json:"foreign_access"`
	OpaqueAccess    string   `json:"opaque_access"`
	DPoPAccess      string   `json:"dpop_access"`
	Payments        []string `json:"payments"` // opaque and with an audience, of a sign-in each
	PaymentsRefresh string   `json:"payments_refresh"`
	PaymentsMachine string   `json:"payments_machine"`
	Machine         string   `json:"machine"`
	DPoPMachine     string   `json:"dpop_machine"`
	MTLSMachine     string   `json:"mtls_machine"`
}

// signIn starts the authorization servers, which run until the test ends, and signs all
// users in.
func signIn(t *testing.T) *session {
	t.Helper()
	node := install(t)
	certificate := "CLIENT_CERTIFICATE=" + clientCertificate(t)

	command := func(script string) *exec.Cmd {
		cmd := exec.Command(node, script)
		cmd.Dir = nodeDir
		cmd.Env = append(os.Environ(), certificate, "NO_COLOR=1")
		return cmd
	}
	servers := command("provider.js")
	// It ends when its standard input does, should this process be killed.
	stdin, err := servers.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { stdin.Close() })
	where := start(t, "node provider.js", servers).line(t, regexp.MustCompile(`(?m)^(\{"issuers":.*\})$`))

	client, out := command("signin.js"), &bytes.Buffer{}
	client.Stdin = bytes.NewBufferString(where)
	client.Stdout = out
	if err := run(t, "node signin.js", time.Minute, client); err != nil {
		t.Fatal(err)
	}
	s := &session{}
	if err := json.Unmarshal(out.Bytes(), s); err != nil {
		t.Fatalf("node signin.js prints no session: %v", err)
	}
	return s
}

// install installs what the scripts need, unless it is there already, and
// returns the path of node. Without node the test fails, so that it does not look as if
// it had passed.
func install(t *testing.T) string {
	t.Helper()
	const advice = "\nThis test needs Node.js 20 or newer with npm, and npm's registry or cache. Install them, or say" +
		"\n    npm ci --prefix internal/e2e/node" +
		"\nyourself; BEARERKIT_E2E=off leaves the test out."
	node, err := exec.LookPath("node")
	if err != nil {
		t.Fatalf("%v%s", err, advice)
	}
	if current(t) {
		return node
	}
	npm, err := exec.LookPath("npm")
	if err != nil {
		t.Fatalf("%v%s", err, advice)
	}
	cmd := exec.Command(npm, "ci", "--no-audit", "--no-fund")
	cmd.Dir = nodeDir
	if err := run(t, "npm ci", 90*time.Second, cmd); err != nil {
		t.Fatalf("%v%s", err, advice)
	}
	if !current(t) {
		t.Fatalf("npm ci has not installed what package-lock.json says%s", advice)
	}
	return node
}

// current reports whether node_modules has the packages of package-lock.json;
// npm leaves a list of what it installed there.
func current(t *testing.T) bool {
	t.Helper()
	type list struct {
		Packages map[string]struct {
			Version   string `json:"version"`
			Integrity string `json:"integrity"`
		} `json:"packages"`
	}
	read := func(name string) (l list, err error) {
		text, err := os.ReadFile(filepath.Join(nodeDir, name))
		if err == nil {
			err = json.Unmarshal(text, &l)
		}
		return l, err
	}
	wanted, err := read("package-lock.json")
	if err != nil {
		t.Fatal(err)
	}
	installed, err := read("node_modules/.package-lock.json")
	if err != nil {
		return false
	}
	for path, p := range wanted.Packages {
		if path != "" && installed.Packages[path] != p {
			return false
		}
	}
	return len(wanted.Packages) > 1
}

// clientCertificate makes the certificate that a machine's tokens are bound to.
func clientCertificate(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(fmt.Errorf("client certificate: %w", err))
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}
