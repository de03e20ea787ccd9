// Command images builds both images without an engine and without a registry,
// and looks at them: size, user, entrypoint, labels, the digests of two builds
// from nothing, and the program inside, run as the image's user.
//
// It needs root, buildah, a static busybox and Go. The bases are look-alikes
// made of this machine's Go tree, certificates and time zones, so sizes hold
// and digests hold for this machine; the module cache stands in for the module
// proxy. Run it with: make images-check.
package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"time"
)

const (
	goImage   = "docker.io/library/golang:1.26"
	baseImage = "gcr.io/distroless/static-debian12:nonroot"
	limit     = 30_000_000 // bytes of what a registry holds and a task pulls: the packed layers
	user      = "65532:65532"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	began := time.Now()
	err := check(ctx)
	stop()
	fmt.Printf("in all %s\n", time.Since(began).Round(time.Second))
	if err != nil {
		fmt.Fprintln(os.Stderr, "images-check:", err)
		os.Exit(1)
	}
}

func check(ctx context.Context) error {
	for _, program := range []string{"buildah", "busybox"} {
		if _, err := exec.LookPath(program); err != nil {
			return fmt.Errorf("find %s: %w; on Debian: apt-get install buildah busybox-static", program, err)
		}
	}
	folder, err := os.MkdirTemp("", "images-check-")
	if err != nil {
		return err
	}
	defer func() { _ = os.RemoveAll(folder) }()
	b := builder{ctx: ctx, folder: folder}
	began := time.Now()
	if err := errors.Join(b.makeGoImage(), b.makeBaseImage()); err != nil {
		return err
	}
	fmt.Printf("look-alikes of %s and %s made in %s\n\n", goImage, baseImage, time.Since(began).Round(time.Second))
	var errs []error
	for _, program := range []string{"worker", "controller"} {
		for _, arch := range []string{"amd64", "arm64"} {
			errs = append(errs, b.inspect(program, arch))
		}
	}
	return errors.Join(errs...)
}

type builder struct {
	ctx    context.Context
	folder string
}

// buildah runs one command and returns what it printed.
func (b builder) buildah(args ...string) (string, error) {
	return b.run("buildah", args...)
}

func (b builder) run(program string, args ...string) (string, error) {
	cmd := exec.CommandContext(b.ctx, program, args...)
	var out, errOut bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", program, args[0], err, out.Bytes(), errOut.Bytes())
	}
	return strings.TrimSpace(out.String()), nil
}

// makeGoImage makes the compiler's image: this machine's Go, a shell, and the
// module cache as the place that modules come from.
func (b builder) makeGoImage() error {
	root, err := b.run("go", "env", "GOROOT")
	if err != nil {
		return err
	}
	return b.fromScratch(goImage, func(mount string) error {
		for _, folder := range []string{"bin", "tmp", "root", "go", "etc/ssl/certs", "usr/local"} {
			if err := os.MkdirAll(filepath.Join(mount, folder), 0o755); err != nil {
				return err
			}
		}
		busybox, _ := exec.LookPath("busybox")
		steps := [][]string{
			{"cp", "-a", root, filepath.Join(mount, "usr/local/go")},
			{"cp", busybox, filepath.Join(mount, "bin/busybox")},
			{"ln", "-s", "busybox", filepath.Join(mount, "bin/sh")},
			{"cp", "/etc/ssl/certs/ca-certificates.crt", filepath.Join(mount, "etc/ssl/certs/")},
		}
		for _, step := range steps {
			if _, err := b.run(step[0], step[1:]...); err != nil {
				return err
			}
		}
		env, err := os.OpenFile(filepath.Join(mount, "usr/local/go/go.env"), os.O_APPEND|os.O_WRONLY, 0)
		if err != nil {
			return err
		}
		_, err = env.WriteString("\nGOPROXY=file:///modules\nGOSUMDB=off\nGOTOOLCHAIN=local\n")
		return errors.Join(err, env.Close())
	}, "--env", "PATH=/usr/local/go/bin:/bin", "--env", "GOPATH=/go")
}

// makeBaseImage makes the base: certificates, time zones, a user.
func (b builder) makeBaseImage() error {
	return b.fromScratch(baseImage, func(mount string) error {
		for _, folder := range []string{"etc/ssl/certs", "usr/share", "home/nonroot", "tmp"} {
			if err := os.MkdirAll(filepath.Join(mount, folder), 0o755); err != nil {
				return err
			}
		}
		if err := os.WriteFile(filepath.Join(mount, "etc/passwd"), []byte("nonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"), 0o600); err != nil {
			return err
		}
		for _, step := range [][]string{
			{"chmod", "644", filepath.Join(mount, "etc/passwd")},
			{"cp", "/etc/ssl/certs/ca-certificates.crt", filepath.Join(mount, "etc/ssl/certs/")},
			{"cp", "-a", "/usr/share/zoneinfo", filepath.Join(mount, "usr/share/zoneinfo")},
		} {
			if _, err := b.run(step[0], step[1:]...); err != nil {
				return err
			}
		}
		return nil
	}, "--user", user, "--env", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt")
}

// fromScratch makes an image of what fill puts into its root.
func (b builder) fromScratch(name string, fill func(mount string) error, config ...string) error {
	container, err := b.buildah("from", "scratch")
	if err != nil {
		return err
	}
	defer func() { _, _ = b.buildah("rm", container) }()
	mount, err := b.buildah("mount", container)
	if err != nil {
		return err
	}
	if err := fill(mount); err != nil {
		return err
	}
	if _, err := b.buildah(append(append([]string{"config"}, config...), container)...); err != nil {
		return err
	}
	_, err = b.buildah("commit", "--timestamp", "0", container, name)
	return err
}

// build builds an image from nothing, its compiler's cache too, and returns its
// id: the digest of its configuration, which names the digests of its layers.
func (b builder) build(program, arch string, try int) (string, error) {
	modules, err := b.run("go", "env", "GOMODCACHE")
	if err != nil {
		return "", err
	}
	version, err := b.run("git", "describe", "--tags", "--always", "--dirty")
	if err != nil {
		return "", err
	}
	commit, err := b.run("git", "rev-parse", "HEAD")
	if err != nil {
		return "", err
	}
	stamp, err := b.run("git", "log", "-1", "--format=%ct")
	if err != nil {
		return "", err
	}
	// OCI's format: Docker's has the working container's id in it, and with it
	// another digest each time. OCI's has no HEALTHCHECK: ECS asks by its task
	// definition, and the command itself is run below.
	//
	// buildah keeps its cache mounts in TMPDIR: one a try, which the programs and
	// architectures of that try share, so that each package is compiled twice
	// from nothing, and no more.
	cache := filepath.Join(b.folder, fmt.Sprintf("try-%d", try))
	if err := os.MkdirAll(cache, 0o700); err != nil {
		return "", err
	}
	id := filepath.Join(cache, "id")
	cmd := exec.CommandContext(b.ctx, "buildah", "bud", "--isolation", "chroot", "--pull-never", "--no-cache", "--format", "oci", "--quiet",
		"--timestamp", stamp, "--platform", "linux/"+arch, "--build-arg", "VERSION="+version, "--build-arg", "COMMIT="+commit,
		"--build-arg", "BUILDPLATFORM=linux/"+runtime.GOARCH,
		"-v", filepath.Join(modules, "cache", "download")+":/modules:ro", "--iidfile", id, "-t", "images-check/"+program+":"+arch, "-f", "Dockerfile."+program, ".")
	cmd.Env = append(os.Environ(), "TMPDIR="+cache)
	if output, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s for %s: %w\n%s", program, arch, err, output)
	}
	text, err := os.ReadFile(id)
	return strings.TrimSpace(string(text)), err
}

// inspect builds an image twice, prints what it is, and says what is wrong.
func (b builder) inspect(program, arch string) error {
	began := time.Now()
	first, err := b.build(program, arch, 1)
	if err != nil {
		return err
	}
	took := time.Since(began).Round(time.Second)
	second, err := b.build(program, arch, 2)
	if err != nil {
		return err
	}
	image, err := b.describe(first)
	if err != nil {
		return err
	}
	size, view, err := b.lookInside(first, program, arch)
	if err != nil {
		return err
	}
	packed, err := b.packedSize(first, program+"-"+arch)
	if err != nil {
		return err
	}
	config := image.Docker.Config
	fmt.Printf("%s linux/%s, built in %s\n  size        %.1f MB packed (limit 30), %.1f MB unpacked\n  user        %s\n  entrypoint  %v %v\n  healthcheck %s\n  version     %s\n  1st build   %s\n  2nd build   %s\n%s\n",
		program, arch, took, float64(packed)/1e6, float64(size)/1e6, config.User, config.Entrypoint, config.Cmd, "none in OCI's format: ECS has it in the task definition",
		config.Labels["org.opencontainers.image.version"], first, second, view)
	switch {
	case packed > limit:
		return fmt.Errorf("%s for %s has %d bytes packed, more than %d", program, arch, packed, limit)
	case first != second:
		return fmt.Errorf("two builds of %s for %s differ", program, arch)
	case config.User != user:
		return fmt.Errorf("%s runs as %q, not as %s", program, config.User, user)
	case !slices.Equal(config.Entrypoint, []string{"/" + program}):
		return fmt.Errorf("%s starts %v", program, config.Entrypoint)
	}
	return nil
}

// packedSize is what a push sends: the blobs of the image in OCI's layout.
func (b builder) packedSize(id, name string) (int64, error) {
	layout := filepath.Join(b.folder, "oci-"+name)
	if _, err := b.buildah("push", "--quiet", id, "oci:"+layout); err != nil {
		return 0, err
	}
	blobs, err := filepath.Glob(filepath.Join(layout, "blobs", "sha256", "*"))
	var sum int64
	for _, blob := range blobs {
		info, statErr := os.Stat(blob)
		if statErr != nil {
			return 0, statErr
		}
		sum += info.Size()
	}
	return sum, err
}

type image struct {
	Docker struct {
		Config struct {
			User            string
			Entrypoint, Cmd []string
			Labels          map[string]string
		} `json:"config"`
	}
}

func (b builder) describe(id string) (*image, error) {
	text, err := b.buildah("inspect", "--type", "image", id)
	if err != nil {
		return nil, err
	}
	described := new(image)
	return described, json.Unmarshal([]byte(text), described)
}

// lookInside sums up the image's files and runs its program.
func (b builder) lookInside(id, program, arch string) (size int64, view string, err error) {
	container, err := b.buildah("from", "--pull-never", id)
	if err != nil {
		return 0, "", err
	}
	defer func() { _, _ = b.buildah("rm", container) }()
	mount, err := b.buildah("mount", container)
	if err != nil {
		return 0, "", err
	}
	text, err := b.run("du", "-s", "--block-size=1", "--apparent-size", mount)
	if err != nil {
		return 0, "", err
	}
	if _, err := fmt.Sscan(text, &size); err != nil {
		return 0, "", err
	}
	view, err = b.runInside(mount, program, arch)
	return size, view, err
}

// runInside runs an image's program: as its user and in its root where this
// machine has its architecture, or else by QEMU where that is installed.
func (b builder) runInside(mount, program, arch string) (view string, err error) {
	command, how := []string{"chroot", "--userspec=" + user, mount, "/" + program}, ""
	if arch != runtime.GOARCH {
		emulator, err := exec.LookPath("qemu-" + machines[arch] + "-static")
		if err != nil {
			return "  not run     this machine is " + runtime.GOARCH + ", and has no qemu-user-static\n", nil
		}
		command, how = []string{emulator, filepath.Join(mount, program)}, " (by QEMU, outside its root)"
	}
	help, err := b.run(command[0], append(command[1:], "--help")...)
	if err != nil {
		return "", err
	}
	// Nothing runs there, so the health command must say so, and not crash.
	health := exec.CommandContext(b.ctx, command[0], append(command[1:], "health")...)
	health.Env = []string{"WORKER_HEALTH_LISTEN=127.0.0.1:1", "CONTROLLER_METRICS_LISTEN=127.0.0.1:1"}
	said, err := health.CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 1 {
		return "", fmt.Errorf("%s health, where nothing runs: %w\n%s", program, err, said)
	}
	first, _, _ := strings.Cut(help, "\n")
	return fmt.Sprintf("  --help      %s%s\n  health      exit 1: %s\n", first, how, bytes.TrimSpace(said)), nil
}

// machines are architectures as QEMU names them.
var machines = map[string]string{"amd64": "x86_64", "arm64": "aarch64"}
