package dnsserver

import (
	"fmt"
	"reflect"
	"testing"
)

// Servers that share a store tell secondaries the same changes between the same
// serials, whichever made them.
func TestShared_transfersAreTheSame(t *testing.T) {
	common := &sharedLog{}
	storeA, storeB := common.store("a"), common.store("b")
	a, b := startServer(t, testConfig(), storeA), startServer(t, testConfig(), storeB)
	from := serialIn(t, a, "example.com.")
	for n := range 4 {
		put(t, []*Server{a, b}[n%2], fmt.Sprintf("n%d.example.com", n/2), fmt.Sprint(n))
	}
	if err := b.DeleteTXT(t.Context(), "n0.example.com", "0"); err != nil {
		t.Fatal(err)
	}
	storeA.wake <- struct{}{}
	to := serialIn(t, b, "example.com.")
	eventually(t, "a follows", func() bool { return serialIn(t, a, "example.com.") == to })
	one, okOne := a.journals.of("example.com.").between(from, to)
	other, okOther := b.journals.of("example.com.").between(from, to)
	if !okOne || !okOther || !reflect.DeepEqual(one, other) {
		t.Errorf("a tells %v, %+v\nb tells %v, %+v", okOne, one, okOther, other)
	}
}
