package acmedns

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/jackc/pgx/v5"
)

// sqlite is the path of a SQLite file.
type sqlite string

func (path sqlite) rows(ctx context.Context, query string) ([]row, error) {
	if _, err := os.Stat(string(path)); err != nil {
		return nil, err // sqlite3 would make it
	}
	program, err := exec.LookPath("sqlite3")
	if err != nil {
		return nil, errors.New("the program sqlite3 is needed to read it: apt-get install sqlite3, or run this command where it is")
	}
	command := exec.CommandContext(ctx, program, "-readonly", "-batch", "-init", os.DevNull, "-json", string(path), query)
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("%s: %w: %s", path, err, strings.TrimSpace(errs.String()))
	}
	var rows []row
	if out.Len() == 0 { // it prints nothing for no rows
		return nil, nil
	}
	if err := json.Unmarshal(out.Bytes(), &rows); err != nil {
		return nil, fmt.Errorf("%s: what sqlite3 says cannot be read: %w", path, err)
	}
	return rows, nil
}

// postgres is a connection to PostgreSQL.
type postgres struct{ *pgx.Conn }

func connect(ctx context.Context, url string) (postgres, error) {
	conn, err := pgx.Connect(ctx, url)
	return postgres{conn}, err // pgx's errors have no password
}

func (p postgres) rows(ctx context.Context, query string) ([]row, error) {
	result, err := p.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(result, pgx.RowToStructByNameLax[row])
}
