package smtp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-sasl"
	gosmtp "github.com/emersion/go-smtp"

	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/provider/providertest"
	"github.com/novaura/acs-operator/internal/redact"
)

// trusted is a certificate of 127.0.0.1 that this test binary's system trusts;
// unknown is one that it does not.
var trusted, unknown tls.Certificate

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "smtp")
	if err != nil {
		panic(err)
	}
	var authority []byte
	trusted, authority = certificate()
	unknown, _ = certificate()
	file := filepath.Join(dir, "ca.pem")
	if err := errors.Join(os.WriteFile(file, authority, 0o600), os.Setenv("SSL_CERT_FILE", file)); err != nil {
		panic(err)
	}
	code := m.Run()
	_ = os.RemoveAll(dir)
	os.Exit(code)
}

func certificate() (pair tls.Certificate, encoded []byte) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// guard is a server that asks for a password, and notes how it was told.
type guard struct {
	mu     sync.Mutex
	plain  bool // a password came without TLS
	mails  int
	asked  int
	refuse bool
}

type guarded struct {
	*guard

	conn *gosmtp.Conn
	in   bool
}

func (g *guarded) AuthMechanisms() []string { return []string{sasl.Plain} }

func (g *guarded) Auth(string) (sasl.Server, error) {
	return sasl.NewPlainServer(func(_, user, password string) error {
		g.mu.Lock()
		defer g.mu.Unlock()
		_, secured := g.conn.TLSConnectionState()
		g.plain, g.asked = g.plain || !secured, g.asked+1
		if g.refuse || user != "AKIA" || password != "s3cr3t/+" {
			return &gosmtp.SMTPError{Code: 535, EnhancedCode: gosmtp.EnhancedCode{5, 7, 8}, Message: "no AKIA here"}
		}
		g.in = true
		return nil
	}), nil
}

func (g *guarded) Mail(string, *gosmtp.MailOptions) error {
	if !g.in {
		return &gosmtp.SMTPError{Code: 530, EnhancedCode: gosmtp.EnhancedCode{5, 7, 0}, Message: "Authentication required"}
	}
	return nil
}

func (g *guarded) Rcpt(string, *gosmtp.RcptOptions) error { return nil }

func (g *guarded) Data(r io.Reader) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.mails++
	_, err := io.Copy(io.Discard, r)
	return err
}

func (*guarded) Reset() {}

func (*guarded) Logout() error { return nil }

// watch serves: with a certificate it offers STARTTLS, or begins with TLS.
func watch(t *testing.T, g *guard, cert *tls.Certificate, fromTheStart bool) (address string) {
	t.Helper()
	server := gosmtp.NewServer(gosmtp.BackendFunc(func(c *gosmtp.Conn) (gosmtp.Session, error) { return &guarded{guard: g, conn: c}, nil }))
	server.Domain, server.AllowInsecureAuth = "localhost", true
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address = listener.Addr().String()
	if cert != nil {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*cert}, MinVersion: tls.VersionTLS12}
	}
	if fromTheStart {
		listener = tls.NewListener(listener, server.TLSConfig)
	}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return address
}

func TestAPasswordIsToldToATrustedServerAlone(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		scheme, login string
		cert          *tls.Certificate
		refuse        bool
		want          provider.Class // of the error; InDoubt: none is wanted
		asked         bool           // the password was told
	}{
		"with STARTTLS":                        {scheme: "smtp", login: "AKIA:s3cr3t%2F+@", cert: &trusted, asked: true},
		"with TLS from the start":              {scheme: "smtps", login: "AKIA:s3cr3t%2F+@", cert: &trusted, asked: true},
		"not to one that offers no TLS":        {scheme: "smtp", login: "AKIA:s3cr3t%2F+@", want: provider.Config},
		"not to one that nobody knows":         {scheme: "smtp", login: "AKIA:s3cr3t%2F+@", cert: &unknown, want: provider.Config},
		"nor to one of TLS from the start":     {scheme: "smtps", login: "AKIA:s3cr3t%2F+@", cert: &unknown, want: provider.Config},
		"a wrong one is our set-up's":          {scheme: "smtp", login: "AKIA:wrong@", cert: &trusted, want: provider.Config, asked: true},
		"one that is refused now is our's too": {scheme: "smtp", login: "AKIA:s3cr3t%2F+@", cert: &trusted, refuse: true, want: provider.Config, asked: true},
		"none where one is asked for":          {scheme: "smtp", cert: &trusted, want: provider.Config},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := &guard{refuse: tc.refuse}
			address := watch(t, g, tc.cert, tc.scheme == "smtps")
			client, err := New(Config{URL: redact.Secret(tc.scheme + "://" + tc.login + address), From: "hello@example.com", Timeout: 10 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			defer func() { _ = client.Close() }()
			checked := client.Check(t.Context())
			_, err = client.Send(t.Context(), letter())
			g.mu.Lock()
			defer g.mu.Unlock()
			if g.plain || (g.asked > 0) != tc.asked {
				t.Errorf("the password was told %d times, in the clear: %t", g.asked, g.plain)
			}
			if tc.want == provider.InDoubt {
				if err != nil || checked != nil || g.mails != 1 {
					t.Errorf("got %v and %v, %d mails", err, checked, g.mails)
				}
				return
			}
			providertest.Check(t, err, tc.want, "s3cr3t", person, "AKIA")
			if got := provider.AsError(err).Credentials; got != (tc.want == provider.Config && (tc.asked || tc.login == "")) {
				t.Errorf("credentials refused: %t", got)
			}
			if g.mails != 0 || tc.login != "" && checked == nil {
				t.Errorf("%d mails; the check said %v", g.mails, checked)
			}
		})
	}
}

func TestACheckOfAServerThatIsNotThereIsTransient(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	err = open(t, address).Check(t.Context())
	providertest.Check(t, err, provider.Transient)
	if !strings.Contains(err.Error(), "refused") || !strings.Contains(err.Error(), address) {
		t.Errorf("got %v, want it said why", err)
	}
}
