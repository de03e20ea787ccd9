package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/novaura/acs-operator/internal/cli"
	"github.com/novaura/acs-operator/internal/consumer"
	"github.com/novaura/acs-operator/internal/emf"
	"github.com/novaura/acs-operator/internal/message"
	"github.com/novaura/acs-operator/internal/provider"
	"github.com/novaura/acs-operator/internal/redact"
)

func TestTheMetricsTellOfCredentialsThatAreRefused(t *testing.T) {
	t.Parallel()
	metrics := workMetrics(totals{Stats: consumer.Stats{Refused: 7}}, totals{Stats: consumer.Stats{Refused: 4}})
	if !slices.Contains(metrics, emf.Metric{Name: "CredentialsRefused", Unit: emf.Count, Value: 3}) {
		t.Errorf("got %+v", metrics)
	}
}

// A key that is rotated in its file needs no restart; one that is wrong at the start
// is a setting that is.
func TestAKeyInAFileIsReadAgainWhenItIsRefused(t *testing.T) {
	t.Parallel()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key.p8")
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: encoded}), 0o600); err != nil {
		t.Fatal(err)
	}
	var b builder
	b.APNSKey, b.APNSKeyID, b.APNSTeamID, b.APNSTopic = redact.Secret(file), "ABCDE12345", "ABCDE12345", "app"
	sender, err := b.sender(t.Context(), message.Push)
	if err != nil {
		t.Fatal(err)
	}
	if _, renews := sender.(provider.Platforms).APNs.(*provider.Renewing); !renews {
		t.Errorf("got a sender that keeps its first key: %T", sender.(provider.Platforms).APNs)
	}
	b.APNSKey = "/nowhere/key.p8"
	if _, err := b.sender(t.Context(), message.Push); !errors.As(err, new(*cli.UsageError)) {
		t.Errorf("a file that is not there: %v", err)
	}
}
