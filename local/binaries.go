package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// binaries are the shipped programs.
type binaries struct{ controller, worker string }

// findBinaries takes the programs that lie beside this one, and otherwise
// builds them from the source into folder.
func findBinaries(ctx context.Context, folder string, progress io.Writer) (binaries, error) {
	if self, err := os.Executable(); err == nil {
		beside := binaries{filepath.Join(filepath.Dir(self), "controller"), filepath.Join(filepath.Dir(self), "worker")}
		if isProgram(beside.controller) && isProgram(beside.worker) {
			return beside, nil
		}
	}
	root, err := moduleRoot()
	if err != nil {
		return binaries{}, err
	}
	_, _ = fmt.Fprintln(progress, "building the controller and the worker (the first time takes a minute or two) …")
	build := exec.CommandContext(ctx, "go", "build", "-o", folder+string(filepath.Separator), "./controller", "./worker")
	build.Dir = root
	output, err := build.CombinedOutput()
	if ctx.Err() != nil {
		return binaries{}, errors.New("interrupted while the controller and the worker were being built; nothing was started. Run it again: what is built already is kept")
	}
	if err != nil {
		return binaries{}, fmt.Errorf("build the controller and the worker: %w\n%s", err, output)
	}
	return binaries{filepath.Join(folder, "controller"), filepath.Join(folder, "worker")}, nil
}

func isProgram(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}

// moduleRoot is the folder of this module's go.mod, at or above the working
// directory.
func moduleRoot() (string, error) {
	folder, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		mod, err := os.ReadFile(filepath.Join(folder, "go.mod"))
		if err == nil && strings.HasPrefix(string(mod), "module github.com/novaura/acs-operator\n") {
			return folder, nil
		}
		parent := filepath.Dir(folder)
		if parent == folder {
			return "", errors.New("find the controller and the worker: they lie neither beside this program nor in the source tree; run it in the checkout, or build all three with make build")
		}
		folder = parent
	}
}
