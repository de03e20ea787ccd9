package source

import (
	"context"
	"slices"
	"strings"
	"sync"

	"github.com/novaura/acs-operator/config"
)

// several are sources that are read as one, in the order given.
type several []Source

var _ Source = several{}

func openSeveral(first, rest string) (Source, error) {
	head, err := Open(strings.TrimSpace(first))
	if err != nil {
		return nil, err
	}
	tail, err := Open(strings.TrimSpace(rest))
	if err != nil {
		return nil, err
	}
	if more, isList := tail.(several); isList {
		return append(several{head}, more...), nil
	}
	return several{head, tail}, nil
}

func (s several) String() string {
	names := make([]string, 0, len(s))
	for _, one := range s {
		names = append(names, one.String())
	}
	return strings.Join(names, ",")
}

func (s several) Read(ctx context.Context) ([]config.File, error) {
	var files []config.File
	for _, one := range s {
		read, err := one.Read(ctx)
		if err != nil {
			return nil, err
		}
		files = append(files, read...)
	}
	slices.SortStableFunc(files, func(a, b config.File) int { return strings.Compare(a.Name, b.Name) })
	return files, nil
}

// Watch is each one's, folded.
func (s several) Watch(ctx context.Context) <-chan struct{} {
	changed := make(chan struct{}, 1)
	var watching sync.WaitGroup
	for _, one := range s {
		watching.Go(func() {
			for range one.Watch(ctx) {
				select {
				case changed <- struct{}{}:
				default:
				}
			}
		})
	}
	go func() {
		watching.Wait()
		close(changed)
	}()
	return changed
}
