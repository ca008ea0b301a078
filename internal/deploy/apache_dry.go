package deploy

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
)

// ErrDryStart says that a server would not start with the files in place.
var ErrDryStart = errors.New("the dry start failed: the server would not start with these files")

// rehearsal is a second server for a moment.
type rehearsal struct {
	machine           transport.Transport
	server            *Apache // of its own configuration
	config, pid, logs string
}

// rehearse starts a second server with the directives of TLS that the first one
// has, and ends it again. Only what these need is in its configuration: another
// module could have an effect outside of the server, such as a socket that it
// removes.
func (a *Apache) rehearse(ctx context.Context, machine transport.Transport) error {
	config, err := a.config(ctx, machine)
	if err != nil {
		return err
	}
	dump, err := a.run(ctx, machine, "-t", "-D", "DUMP_INCLUDES")
	if err != nil {
		return err
	}
	_, main, _ := strings.Cut(dump, "(*) ")
	main, _, _ = strings.Cut(main, "\n")
	all, err := config.load(ctx, strings.TrimSpace(main))
	if err != nil {
		return err
	}
	if all, err = config.expand(ctx, all, 0); err != nil {
		return err
	}
	directives, err := config.forTLS(ctx, all)
	if err != nil {
		return err
	}
	directory, base := split(a.options.PrivateKeyPath)
	temporary := func() string { return below(directory, transport.Temporary(base)) }
	r := &rehearsal{machine: machine, config: temporary(), pid: temporary(), logs: temporary()}
	r.server = &Apache{ApacheOptions{Binary: a.options.Binary, ConfigPath: r.config}}
	head := fmt.Sprintf("ServerRoot %q\nPidFile %q\nErrorLog %q\nDefaultRuntimeDir %q\n", config.root, r.pid, r.logs, directory)
	for range 5 {
		port := 49152 + rand.IntN(65536-49152) //nolint:gosec // a port that is likely free, no secret
		err = r.run(ctx, fmt.Sprintf("%sListen 127.0.0.1:%d\n%s", head, port, directives))
		if err == nil || !strings.Contains(err.Error(), "could not bind") {
			break
		}
	}
	return err
}

// run starts the server with a configuration, and ends it.
func (r *rehearsal) run(ctx context.Context, text string) error {
	if err := transport.WriteFile(ctx, r.machine, r.config, []byte(text), private()); err != nil {
		return fmt.Errorf("write the configuration for a dry start: %w", err)
	}
	_, err := r.server.run(ctx, r.machine, "-k", "start")
	if err == nil {
		err = r.stop(ctx)
	} else if words, _, read := r.machine.ReadFile(ctx, r.logs); read == nil {
		err = fmt.Errorf("%w: %w: %s", ErrDryStart, err, strings.TrimSpace(withoutKeys(string(words))))
	} else {
		err = fmt.Errorf("%w: %w", ErrDryStart, err)
	}
	return errors.Join(err, r.clean(ctx))
}

// stop waits until the second server is there, ends it and waits for that.
func (r *rehearsal) stop(ctx context.Context) error {
	if err := r.await(ctx, true); err != nil {
		return fmt.Errorf("%w: it says that it starts, and does not", ErrDryStart)
	}
	within, cancel := context.WithTimeout(context.WithoutCancel(ctx), aliveTimeout+cleanTimeout)
	defer cancel()
	if _, err := r.server.run(within, r.machine, "-k", "stop"); err != nil {
		return fmt.Errorf("end the server of the dry start: %w", err)
	}
	if err := r.await(within, false); err != nil {
		return errors.New("the server of the dry start does not end")
	}
	return nil
}

func (r *rehearsal) await(ctx context.Context, want bool) error {
	ctx, cancel := context.WithTimeout(ctx, aliveTimeout)
	defer cancel()
	for {
		alive, err := running(ctx, r.machine, r.pid, "apache", "httpd")
		if err != nil || alive == want {
			return err
		}
		if err := pause(ctx, firstWait); err != nil {
			return err
		}
	}
}

func (r *rehearsal) clean(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanTimeout)
	defer cancel()
	var problems []error
	for _, file := range []string{r.config, r.pid, r.logs} {
		if err := r.machine.Remove(ctx, file); !errors.Is(err, fs.ErrNotExist) {
			problems = append(problems, err)
		}
	}
	return errors.Join(problems...)
}

// forTLS writes the directives that a server needs for its certificates.
func (c *apacheConfig) forTLS(ctx context.Context, all []*directive) (string, error) {
	modules := regexp.MustCompile(`^(mpm_[a-z]+|ssl|authz_core|unixd|socache_shmcb)_module$`)
	// What other processes see, and what needs it.
	left := []string{"sslsessioncache", "sslstaplingcache", "sslusestapling", "sslmutex"}
	kept := []string{"servername", "serveralias", "user", "group"}
	var text strings.Builder
	for _, one := range all {
		name := one.words[0]
		switch {
		case name == "virtualhost":
			inner, err := c.expand(ctx, one.block, 0)
			if err != nil {
				return "", err
			}
			within, err := c.forTLS(ctx, inner)
			if err != nil {
				return "", err
			}
			fmt.Fprintf(&text, "<%s>\n%s</VirtualHost>\n", c.fill(one.raw), within)
		case name == "loadmodule" && modules.MatchString(one.argument()), slices.Contains(kept, name),
			strings.HasPrefix(name, "ssl") && !slices.Contains(left, name):
			text.WriteString(c.fill(one.raw) + "\n")
		}
	}
	return text.String(), nil
}
