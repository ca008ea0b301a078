package letter_test

import (
	"archive/zip"
	"bytes"
	"encoding/xml"
	"errors"
	"io"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/order/letter"
)

// read is the text of a document, one paragraph a line. All its parts must be
// well formed, since a word processor opens nothing else.
func read(t *testing.T, file []byte) string {
	t.Helper()
	archive, err := zip.NewReader(bytes.NewReader(file), int64(len(file)))
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, entry := range archive.File {
		content, err := entry.Open()
		if err != nil {
			t.Fatal(err)
		}
		decoder := xml.NewDecoder(content)
		for {
			token, err := decoder.Token()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil {
				t.Fatalf("%s: %s", entry.Name, err)
			}
			switch found := token.(type) {
			case xml.CharData:
				text.Write(bytes.TrimSpace(found))
			case xml.EndElement:
				if found.Name.Local == "p" {
					text.WriteByte('\n')
				}
			}
		}
	}
	return text.String()
}

func TestDocument_saysWhatTheOrderIs(t *testing.T) {
	t.Parallel()
	l := letter.Letter{
		Names: []string{"www.example.com", "example.com"}, Company: `示例 <Trade> & "Sons"`, Product: "securesite-ov-multi",
		Years: 2, Order: "aBcD1234", Original: "zYxW9876",
	}
	file, err := l.Document()
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, file)
	for _, want := range []string{
		"SSL 证书申请确认函\n", "www.example.com\nexample.com\n", `示例 <Trade> & "Sons"`, "securesite-ov-multi", "2 年 / 2 year(s)",
		"aBcD1234", "zYxW9876", "单位公章 / Company stamp:", "经办人签字 / Signature:", "日期 / Date:",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("no %q in\n%s", want, got)
		}
	}
	again, err := l.Document()
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(file, again) {
		t.Error("the same order makes another file the second time")
	}
}

func TestDocument_leavesOpenWhatItDoesNotKnow(t *testing.T) {
	t.Parallel()
	file, err := letter.Letter{Names: []string{"www.example.com"}, Company: "a\x00b"}.Document()
	if err != nil {
		t.Fatal(err)
	}
	got := read(t, file)
	if !strings.Contains(got, "ab\n") || strings.Contains(got, "year(s)") {
		t.Error(got)
	}
	if _, err := (letter.Letter{}).Document(); err == nil {
		t.Error("a letter for no name was written")
	}
}
