package tencentcloud_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/certiform/terraform-provider-certificate/internal/issuer/tencentcloud"
)

var update = flag.Bool("update", false, "write the catalogue into the guides")

// words are those of a guide's catalogue in its language.
type words struct {
	head                                                        string
	one, many, wildcard, manyWildcard                           string
	record, letterOV, letterEV, callOV, callEV, reviewOV, revEV string
	number                                                      string // for a product that cannot be paid that way
}

func guides() map[string]words {
	return map[string]words{
		"paid-renewal.md": {
			"| `product` | Names | `points` | `balance` | A renewal needs |\n|---|---|---|---|---|\n",
			"one", "up to 100", "one wildcard", "up to 100, wildcards among them",
			"the records; 10 minutes to 24 hours", "the letter, the call, the e-mail; 3 to 5 working days", "the letter, the call, the e-mail; 5 to 7 working days",
			"the call, the records; 3 to 5 working days", "the call, the records; 5 to 7 working days",
			"the review, the records; 3 to 5 working days", "the review, the records; 5 to 7 working days", "no",
		},
		"paid-renewal-zh.md": {
			"| `product` | 域名 | `points` | `balance` | 续费所需 |\n|---|---|---|---|---|\n",
			"单域名", "最多 100 个域名", "单个通配符", "最多 100 个，可含通配符",
			"解析记录；10 分钟至 24 小时", "确认函、电话、邮件；3 至 5 个工作日", "确认函、电话、邮件；5 至 7 个工作日",
			"电话审核、解析记录；3 至 5 个工作日", "电话审核、解析记录；5 至 7 个工作日",
			"人工审核、解析记录；3 至 5 个工作日", "人工审核、解析记录；5 至 7 个工作日", "不支持",
		},
	}
}

func (w words) names(p tencentcloud.Product) string {
	return map[string]string{"single": w.one, "multi": w.many, "wildcard": w.wildcard, "multi_wildcard": w.manyWildcard}[p.Names]
}

func (w words) needs(p tencentcloud.Product) string {
	ev := p.Level == "ev"
	pick := func(ofOV, ofEV string) string {
		if ev {
			return ofEV
		}
		return ofOV
	}
	switch {
	case p.Level == "dv":
		return w.record
	case p.Letter():
		return pick(w.letterOV, w.letterEV)
	case p.SM2:
		return pick(w.reviewOV, w.revEV)
	}
	return pick(w.callOV, w.callEV)
}

func (w words) table() string {
	number := func(n uint64) string {
		if n == 0 {
			return w.number
		}
		return fmt.Sprint(n)
	}
	var b strings.Builder
	b.WriteString(w.head)
	for _, p := range tencentcloud.Products() {
		fmt.Fprintf(&b, "| `%s` | %s | %s | %s | %s |\n", p.Name, w.names(p), number(p.PackageID), number(uint64(p.ID)), w.needs(p))
	}
	return b.String()
}

// The guides have the catalogue that the provider has. To write it there:
// go test ./internal/issuer/tencentcloud -run TestCatalogue -update && make generate.
func TestCatalogue_isInTheGuides(t *testing.T) {
	const begin, end = "<!-- catalogue -->\n", "<!-- end of the catalogue -->"
	for name, w := range guides() {
		file := filepath.Join("..", "..", "..", "templates", "guides", name)
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		before, rest, found := strings.Cut(string(text), begin)
		table, after, closed := strings.Cut(rest, end)
		if !found || !closed {
			t.Fatalf("%s has no place for the catalogue", file)
		}
		want := "\n" + w.table() + "\n"
		if *update && table != want {
			if err := os.WriteFile(file, []byte(before+begin+want+end+after), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		if table != want {
			t.Errorf("%s has another catalogue than the provider; run this test with -update, and make generate", file)
		}
	}
}
