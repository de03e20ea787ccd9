package main

import (
	"testing"

	"github.com/novaura/acs-operator/internal/cli/clitest"
)

func TestTheDocumentsNameCommandsThatThereAre(t *testing.T) {
	for _, file := range []string{"runbook.md", "operate.md"} {
		clitest.HoldToProgram(t, "../docs/"+file, "worker", run)
	}
}
