// Package letter writes the confirmation letter of an order as a document for a
// person to print, stamp and scan.
//
// It is for orders whose CA wants a stamped letter and gives its own form to
// people only. Its invariant: the same order makes the same bytes, so that a
// document is no reason for a plan; what it does not know is a line to be filled
// in by hand, never a guess.
package letter

import (
	"archive/zip"
	"bytes"
	_ "embed"
	"encoding/xml"
	"errors"
	"fmt"
	"strings"
	"text/template"
)

// Letter is what is known of an order. What is empty is left to be filled in.
type Letter struct {
	Names    []string // the first is the common name
	Company  string
	Product  string
	Years    int64
	Order    string // the CA's number of the certificate that is ordered
	Original string // and of the one that is renewed; empty for a new one
}

// MediaType is that of the document: Office Open XML, which carries no fonts and
// which every word processor prints, Chinese text included.
const MediaType = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"

//go:embed document.xml
var document string

// The two parts that say where the document is (ISO/IEC 29500-2).
const (
	contentTypes = xml.Header + `<Types xmlns="http://schemas.openxmlformats.org/package/2006/content-types">` +
		`<Default Extension="rels" ContentType="application/vnd.openxmlformats-package.relationships+xml"/>` +
		`<Override PartName="/word/document.xml" ContentType="` + MediaType + `.main+xml"/></Types>`
	relationships = xml.Header + `<Relationships xmlns="http://schemas.openxmlformats.org/package/2006/relationships">` +
		`<Relationship Id="rId1" Type="http://schemas.openxmlformats.org/officeDocument/2006/relationships/officeDocument" Target="word/document.xml"/></Relationships>`
)

// Document is the letter as a .docx file.
func (l Letter) Document() ([]byte, error) {
	if len(l.Names) == 0 {
		return nil, errors.New("the order has no names")
	}
	parsed, err := template.New("letter").Funcs(template.FuncMap{"text": escape}).Parse(document)
	if err != nil {
		return nil, fmt.Errorf("read the form of the letter: %w", err)
	}
	var body bytes.Buffer
	if err := parsed.Execute(&body, l.rows()); err != nil {
		return nil, fmt.Errorf("fill in the letter: %w", err)
	}
	return archive([]part{{"[Content_Types].xml", contentTypes}, {"_rels/.rels", relationships}, {"word/document.xml", body.String()}})
}

// row is one line of the letter's table: what, in both languages, and the value
// in as many lines as it has.
type row struct {
	Chinese, English string
	Values           []string
}

func (l Letter) rows() []row {
	years := ""
	if l.Years > 0 {
		years = fmt.Sprintf("%d 年 / %d year(s)", l.Years, l.Years)
	}
	return []row{
		{"申请单位", "Applicant (company)", []string{l.Company}},
		{"证书绑定域名", "Domain names", l.Names},
		{"证书产品", "Product", []string{l.Product}},
		{"年限", "Term", []string{years}},
		{"证书订单编号", "Order (certificate ID)", []string{l.Order}},
		{"续费的原证书", "Renews the certificate", []string{l.Original}},
	}
}

// escape writes text for XML; what no XML can hold is left out.
func escape(text string) (string, error) {
	text = strings.Map(func(r rune) rune {
		if r < ' ' {
			return -1
		}
		return r
	}, text)
	var b strings.Builder
	if err := xml.EscapeText(&b, []byte(text)); err != nil {
		return "", fmt.Errorf("escape: %w", err)
	}
	return b.String(), nil
}

type part struct{ name, text string }

// archive puts the parts into a ZIP without times, which would make each one
// another.
func archive(parts []part) ([]byte, error) {
	var file bytes.Buffer
	writer := zip.NewWriter(&file)
	for _, p := range parts {
		entry, err := writer.CreateHeader(&zip.FileHeader{Name: p.name, Method: zip.Deflate})
		if err == nil {
			_, err = entry.Write([]byte(p.text))
		}
		if err != nil {
			return nil, fmt.Errorf("write the letter: %w", err)
		}
	}
	if err := writer.Close(); err != nil {
		return nil, fmt.Errorf("write the letter: %w", err)
	}
	return file.Bytes(), nil
}
