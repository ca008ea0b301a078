package challenge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"
)

// WebrootSolver answers http-01 challenges through a web server that is there
// already: it writes files into the folder that the server shows (RFC 8555 §8.3).
type WebrootSolver struct {
	root string // absolute

	mu sync.Mutex // folders come and go under it
	// created are the folders that were made for an order and stay for as long
	// as another one has files in them, with the file they were made for.
	created map[string]string
}

// NewWebrootSolver prepares a solver for an absolute path; it looks at nothing.
func NewWebrootSolver(root string) *WebrootSolver {
	return &WebrootSolver{root: root, created: map[string]string{}}
}

// Type implements Solver.
func (s *WebrootSolver) Type() string { return HTTP01 }

// Locate implements Locator. It notes which folders are not there, so that
// whoever withdraws the record, another process perhaps, removes those and no
// others.
func (s *WebrootSolver) Locate(_ context.Context, records []Record) ([]Record, error) {
	info, err := os.Stat(s.root)
	if err == nil && !info.IsDir() {
		err = errors.New("it is no folder")
	}
	if err != nil {
		return nil, fmt.Errorf("look at the webroot %s: %w; set validation.http_01.webroot to the folder whose files the web server shows", s.root, err)
	}
	located := slices.Clone(records)
	for n := range located {
		file := s.file(located[n])
		located[n].Target = file
		for _, folder := range folders(file) {
			if _, err := os.Lstat(folder); errors.Is(err, fs.ErrNotExist) {
				located[n].Creates = folder
				break
			}
		}
	}
	return located, nil
}

// file is where a record is written. One that was located by nobody comes from
// an order that was begun with http_01.listen.
func (s *WebrootSolver) file(r Record) string {
	if path := r.path(); r.Target == path {
		return filepath.Join(s.root, filepath.FromSlash(path))
	}
	return r.Target
}

// folders are the two that a file lies in below the webroot, the outer one first.
func folders(file string) []string {
	inner := filepath.Dir(file)
	return []string{filepath.Dir(inner), inner}
}

// Present implements Solver.
func (s *WebrootSolver) Present(ctx context.Context, records []Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, r := range records {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if err := write(s.file(r), r.Value); err != nil {
			return fmt.Errorf("write the validation file of %s: %w; the user that runs Terraform has to be allowed to write there", r.Domain, err)
		}
	}
	return nil
}

// write places a whole file or none. Another process may remove the folders, as
// Withdraw does, before there is something in them.
func write(file, text string) error {
	const tries = 5
	for try := 1; ; try++ {
		err := makeFolders(file)
		if err == nil {
			err = replace(file, text)
		}
		if !errors.Is(err, fs.ErrNotExist) || try == tries {
			return err
		}
	}
}

// makeFolders makes the folders of a file. The web server, another user, must be
// able to read them, whatever the umask.
func makeFolders(file string) error {
	for _, folder := range folders(file) {
		err := os.Mkdir(folder, 0o755) //nolint:gosec // as said
		if err == nil {
			err = os.Chmod(folder, 0o755) //nolint:gosec // as said
		}
		if err != nil && !errors.Is(err, fs.ErrExist) {
			return err
		}
	}
	return nil
}

// replace writes a whole file or none, readable as the folders are.
func replace(file, text string) error {
	err := os.WriteFile(draft(file), []byte(text), 0o644) //nolint:gosec // as said
	if err == nil {
		err = os.Chmod(draft(file), 0o644) //nolint:gosec // as said
	}
	if err == nil {
		err = os.Rename(draft(file), file)
	}
	return err
}

// draft is what a file is called until it is whole.
func draft(file string) string { return file + ".draft" }

// Withdraw implements Solver.
func (s *WebrootSolver) Withdraw(_ context.Context, records []Record) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	var failures []error
	for _, r := range records {
		file := s.file(r)
		for _, name := range []string{file, draft(file)} {
			if err := os.Remove(name); err != nil && !errors.Is(err, fs.ErrNotExist) {
				failures = append(failures, fmt.Errorf("remove the validation file of %s: %w", r.Domain, err))
			}
		}
		if r.Creates != "" {
			s.created[r.Creates] = file
		}
	}
	for created, file := range s.created {
		if removeFolders(created, file) {
			delete(s.created, created)
		}
	}
	return errors.Join(failures...)
}

// removeFolders removes the folders of a file from the inner one up to the one
// that was created. It reports false while something is in them.
func removeFolders(created, file string) bool {
	for _, folder := range slices.Backward(folders(file)) {
		if err := os.Remove(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return false
		}
		if folder == created {
			break
		}
	}
	return true
}
