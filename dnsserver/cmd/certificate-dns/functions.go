package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/zclconf/go-cty/cty"
	"github.com/zclconf/go-cty/cty/function"
)

// maxFile bounds what file() reads, in bytes.
const maxFile = 1 << 20

// evalContext is what a configuration file may call: env("NAME") and
// file("PATH"), so that no secret needs to stand in it. Both work at every
// attribute, which a second "_file" attribute for each would not.
func evalContext() *hcl.EvalContext {
	text := func(name, takes string, read func(string) (string, error)) function.Function {
		return function.New(&function.Spec{
			Params: []function.Parameter{{Name: takes, Type: cty.String}},
			Type:   function.StaticReturnType(cty.String),
			Impl: func(args []cty.Value, _ cty.Type) (cty.Value, error) {
				value, err := read(args[0].AsString())
				if err != nil {
					return cty.NilVal, function.NewArgErrorf(0, "%s: %s", name, err)
				}
				return cty.StringVal(value), nil
			},
		})
	}
	return &hcl.EvalContext{Functions: map[string]function.Function{
		"env":  text("env", "name", readEnv),
		"file": text("file", "path", readFile),
	}}
}

func readEnv(name string) (string, error) {
	value, ok := os.LookupEnv(name)
	if !ok {
		return "", fmt.Errorf("%s is not set in the environment; set it, with systemd in an EnvironmentFile", name)
	}
	return value, nil
}

// readFile is the text of a file without the line feed at its end.
func readFile(path string) (string, error) {
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", fmt.Errorf("%w; check the path and who may read it", err)
	case info.Size() > maxFile:
		return "", fmt.Errorf("%s has over %d bytes; it is no secret or list of records", path, maxFile)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("%w; check who may read it", err)
	}
	return strings.TrimRight(string(text), "\r\n"), nil
}
