package tsig

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"hash"
	"strings"
	"testing"
	"time"

	"github.com/miekg/dns"
)

var secret = base64.StdEncoding.EncodeToString([]byte(strings.Repeat("s", 32)))

func newKey(t testing.TB, name, algorithm string) *Key {
	t.Helper()
	k, err := NewKey(name, algorithm, NewSecret(secret))
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func pack(t testing.TB, m *dns.Msg) []byte {
	t.Helper()
	wire, err := m.Pack()
	if err != nil {
		t.Fatal(err)
	}
	return wire
}

// signature is what Find finds.
func signature(t testing.TB, msg []byte) *Signature {
	t.Helper()
	s, err := Find(msg)
	if err != nil || s == nil {
		t.Fatalf("%v, %v", s, err)
	}
	return s
}

var now = time.Unix(1_800_000_000, 0)

// The library's signatures are verified here, and ours there.
func TestKey_againstTheLibrary(t *testing.T) {
	for _, algorithm := range Algorithms() {
		k := newKey(t, "Key.Example", algorithm)
		query := new(dns.Msg).SetQuestion("example.com.", dns.TypeSOA)
		query.SetEdns0(1232, true)
		query.SetTsig("key.example.", algorithm+".", 300, time.Now().Unix())
		theirs, mac, err := dns.TsigGenerate(query, secret, "", false)
		if err != nil {
			t.Fatal(err)
		}
		s := signature(t, theirs)
		if err := k.Verify(theirs, s, nil, time.Now()); err != nil {
			t.Errorf("%s: the library's query: %v", algorithm, err)
		}
		if fmt.Sprintf("%x", s.MAC) != mac {
			t.Errorf("%s: MAC %x, want %s", algorithm, s.MAC, mac)
		}
		plain := pack(t, new(dns.Msg).SetReply(query))
		reply, _ := k.Sign(bytes.Clone(plain), s.MAC, time.Now())
		if len(reply) != len(plain)+k.Size() {
			t.Errorf("%s: %d bytes were added, Size says %d", algorithm, len(reply)-len(plain), k.Size())
		}
		if err := dns.TsigVerify(bytes.Clone(reply), secret, mac, false); err != nil {
			t.Errorf("%s: the library about our reply: %v", algorithm, err)
		}
		if err := k.Verify(reply, signature(t, reply), s.MAC, time.Now()); err != nil {
			t.Errorf("%s: our reply: %v", algorithm, err)
		}
	}
}

func TestKey_verify(t *testing.T) {
	k := newKey(t, "key", "")
	signed, _ := k.Sign(pack(t, new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT)), nil, now)
	for sentence, test := range map[string]struct {
		alter func(msg []byte) []byte
		at    time.Time
		want  error
	}{
		"as it was signed":          {want: nil},
		"another ID":                {alter: func(m []byte) []byte { m[0] ^= 1; return m }, want: nil},
		"a bit of the question":     {alter: func(m []byte) []byte { m[14] ^= 1; return m }, want: ErrSignature},
		"a bit of the flags":        {alter: func(m []byte) []byte { m[2] ^= 1; return m }, want: ErrSignature},
		"a bit of the MAC":          {alter: func(m []byte) []byte { m[len(m)-7] ^= 1; return m }, want: ErrSignature},
		"300 seconds later":         {at: now.Add(300 * time.Second), want: nil},
		"301 seconds later":         {at: now.Add(301 * time.Second), want: ErrTime},
		"301 seconds earlier":       {at: now.Add(-301 * time.Second), want: ErrTime},
		"half the MAC":              {alter: func(m []byte) []byte { return shorten(m, 16) }, want: ErrShort},
		"half the MAC, much later":  {alter: func(m []byte) []byte { return shorten(m, 16) }, at: now.Add(time.Hour), want: ErrTime},
		"less than half":            {alter: func(m []byte) []byte { return shorten(m, 17) }, want: ErrFormat},
		"no MAC":                    {alter: func(m []byte) []byte { return shorten(m, 32) }, want: ErrFormat},
		"a fudge of a day, altered": {alter: func(m []byte) []byte { m[len(m)-32-10] ^= 1; return m }, want: ErrSignature},
	} {
		msg := bytes.Clone(signed)
		if test.alter != nil {
			msg = test.alter(msg)
		}
		if test.at.IsZero() {
			test.at = now
		}
		if err := k.Verify(msg, signature(t, msg), nil, test.at); !errors.Is(err, test.want) {
			t.Errorf("%s: %v, want %v", sentence, err, test.want)
		}
	}
	for _, other := range []*Key{newKey(t, "other", ""), newKey(t, "key", "hmac-sha512")} {
		if err := other.Verify(signed, signature(t, signed), nil, now); !errors.Is(err, ErrKey) {
			t.Errorf("%s: %v, want %v", other, err, ErrKey)
		}
	}
	// A client that allows itself a day is given five minutes.
	generous := &Signature{Time: uint64(now.Unix()), Fudge: 60000}
	plain := pack(t, new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT))
	msg, _ := k.sign(plain, generous, func(sum hash.Hash) { sum.Write(plain); k.digestVariables(sum, generous) })
	if err := k.Verify(msg, signature(t, msg), nil, now.Add(time.Hour)); !errors.Is(err, ErrTime) {
		t.Errorf("a fudge of 60000: %v, want %v", err, ErrTime)
	}
}

// shorten takes n bytes off the MAC of a SHA-256 signature without other data.
func shorten(msg []byte, n int) []byte {
	tail := bytes.Clone(msg[len(msg)-6:])
	macAt := len(msg) - 6 - 32
	out := append(bytes.Clone(msg[:macAt+32-n]), tail...)
	out[macAt-1] = byte(32 - n)
	length := macAt - variables + 6 - len("\x0bhmac-sha256\x00") - 2
	out[length+1] -= byte(n)
	return out
}

func TestSignError(t *testing.T) {
	k := newKey(t, "key", "")
	query := new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT)
	signed, mac := k.Sign(pack(t, query), nil, now)
	s := signature(t, signed)
	reply := func() []byte { return pack(t, new(dns.Msg).SetRcode(query, dns.RcodeNotAuth)) }
	late := now.Add(time.Hour)

	badTime := k.SignError(reply(), s, ErrTime, late)
	got := signature(t, badTime)
	if got.Error != dns.RcodeBadTime || got.Time != uint64(now.Unix()) || !bytes.Equal(got.Other, appendTime(nil, uint64(late.Unix()))) {
		t.Errorf("BADTIME: %+v, want the client's time, and ours beside it", got)
	}
	if err := k.Verify(badTime, got, mac, now); err != nil {
		t.Errorf("BADTIME is not signed for the client: %v", err)
	}
	short := k.SignError(reply(), s, ErrShort, now)
	if got := signature(t, short); got.Error != dns.RcodeBadTrunc || k.Verify(short, got, mac, now) != nil {
		t.Errorf("BADTRUNC: %+v, want it signed", got)
	}
	for err, code := range map[error]uint16{ErrKey: dns.RcodeBadKey, ErrSignature: dns.RcodeBadSig} {
		got := signature(t, Refuse(reply(), s, err, now))
		if got.Error != code || len(got.MAC) > 0 || got.Name != "key." || got.Algorithm != "hmac-sha256." {
			t.Errorf("%v: %+v, want the error without a MAC", err, got)
		}
	}
	if Code(ErrFormat) != 0 || Code(nil) != 0 {
		t.Error("a message that cannot be read has no TSIG error")
	}
}

func TestFind_placesAndForms(t *testing.T) {
	k := newKey(t, "key", "")
	query := new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT)
	good, _ := k.Sign(pack(t, query), nil, now)
	twice, _ := k.Sign(bytes.Clone(good), nil, now)
	after := append(bytes.Clone(good), 0, 0, 16, 0, 1, 0, 0, 0, 0, 0, 0)
	after[11]++
	record := bytes.Index(good, []byte("\x03key\x00\x00\xfa"))
	alter := func(at int, to byte) []byte {
		msg := bytes.Clone(good)
		msg[at] = to
		return msg
	}
	asAnswer := alter(11, 0)
	asAnswer[7] = 1
	for sentence, msg := range map[string][]byte{
		"two":                twice,
		"a record behind it": after,
		"in the answer":      asAnswer,
		"class IN":           alter(record+8, 1),
		"a TTL":              alter(record+12, 1),
		"its MAC too long":   alter(len(good)-6-32-1, 200),
		"bytes behind it":    append(bytes.Clone(good), 0),
	} {
		if s, err := Find(msg); !errors.Is(err, ErrFormat) {
			t.Errorf("%s: %v, %v, want %v", sentence, s, err, ErrFormat)
		}
	}
	for sentence, msg := range map[string][]byte{
		"no signature": pack(t, query), "no header": good[:5], "cut off": good[:len(good)-1], "nothing": nil,
	} {
		if s, err := Find(msg); s != nil || err != nil {
			t.Errorf("%s: %v, %v, want nothing", sentence, s, err)
		}
	}
}

func TestStream(t *testing.T) {
	k := newKey(t, "key", "")
	request := []byte("the request's MAC, 32 bytes long")
	plain := func(n int) []byte {
		m := new(dns.Msg).SetQuestion(fmt.Sprintf("m%d.example.com.", n), dns.TypeAXFR)
		m.Id = uint16(n)
		return pack(t, m)
	}
	sender, receiver := NewStream(k, request), NewStream(k, request)
	for n := range 5 {
		if err := receiver.Verify(sender.Sign(plain(n), now), now); err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	if err := receiver.End(); err != nil {
		t.Error(err)
	}
	// The second message of the library's verifies too.
	first := new(dns.Msg).SetQuestion("example.com.", dns.TypeAXFR)
	first.SetTsig("key.", dns.HmacSHA256, 300, now.Unix())
	one, mac, err := dns.TsigGenerate(first, secret, fmt.Sprintf("%x", request), false)
	if err != nil {
		t.Fatal(err)
	}
	second := new(dns.Msg).SetQuestion("example.com.", dns.TypeAXFR)
	second.SetTsig("key.", dns.HmacSHA256, 300, now.Unix())
	two, _, err := dns.TsigGenerate(second, secret, mac, true)
	if err != nil {
		t.Fatal(err)
	}
	receiver = NewStream(k, request)
	if err := errors.Join(receiver.Verify(one, now), receiver.Verify(two, now), receiver.End()); err != nil {
		t.Errorf("the library's stream: %v", err)
	}
}

func TestStream_unsignedBetween(t *testing.T) {
	k := newKey(t, "key", "")
	request := []byte("the request's MAC, 32 bytes long")
	plain := func(n int) []byte {
		m := new(dns.Msg).SetQuestion(fmt.Sprintf("m%d.example.com.", n), dns.TypeAXFR)
		m.Id = uint16(n)
		return pack(t, m)
	}
	sender := NewStream(k, request)
	one := sender.Sign(plain(0), now)
	between := [][]byte{plain(1), plain(2)}
	last := &Signature{Time: uint64(now.Unix()), Fudge: Fudge}
	three, _ := k.sign(plain(3), last, func(sum hash.Hash) {
		digestMAC(sum, sender.mac)
		sum.Write(between[0])
		sum.Write(between[1])
		sum.Write(plain(3))
		sum.Write(timers(last))
	})
	receiver := NewStream(k, request)
	for n, msg := range [][]byte{one, between[0], between[1]} {
		if err := receiver.Verify(msg, now); err != nil {
			t.Fatalf("message %d: %v", n, err)
		}
	}
	if err := receiver.End(); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a stream whose end is not signed: %v, want %v", err, ErrUnsigned)
	}
	if err := errors.Join(receiver.Verify(three, now), receiver.End()); err != nil {
		t.Error(err)
	}
	receiver = NewStream(k, request)
	if err := receiver.Verify(between[0], now); !errors.Is(err, ErrUnsigned) {
		t.Errorf("a first message without a signature: %v, want %v", err, ErrUnsigned)
	}
	receiver = NewStream(k, request)
	_ = receiver.Verify(one, now)
	_ = receiver.Verify(plain(9), now) // not what was sent
	_ = receiver.Verify(between[1], now)
	if err := receiver.Verify(three, now); !errors.Is(err, ErrSignature) {
		t.Errorf("an altered message in between: %v, want %v", err, ErrSignature)
	}
	receiver = NewStream(k, request)
	_ = receiver.Verify(one, now)
	for range maxUnsigned {
		if err := receiver.Verify(plain(1), now); err != nil {
			t.Fatal(err)
		}
	}
	if err := receiver.Verify(plain(1), now); !errors.Is(err, ErrUnsigned) {
		t.Errorf("the hundredth without a signature: %v, want %v", err, ErrUnsigned)
	}
}

func TestNewKey(t *testing.T) {
	for sentence, test := range map[string]struct {
		name, algorithm, secret string
		want                    error
	}{
		"good":                {"key", "HMAC-SHA384.", secret, nil},
		"no name":             {"", "", secret, ErrName},
		"a name that is none": {"a..b", "", secret, ErrName},
		"an algorithm of old": {"key", "hmac-md5", secret, ErrAlgorithm},
		"no base64":           {"key", "", "s3cr3t!", ErrSecret},
		"no secret":           {"key", "", "", ErrSecret},
		"too short":           {"key", "", "c2VjcmV0", ErrSecret},
	} {
		k, err := NewKey(test.name, test.algorithm, NewSecret(test.secret))
		if !errors.Is(err, test.want) || err != nil && test.secret != "" && strings.Contains(err.Error(), test.secret) {
			t.Errorf("%s: %v, want %v, without the secret", sentence, err, test.want)
		}
		if shown := fmt.Sprintf("%v %+v %#v", k, k, NewSecret(test.secret)); test.secret != "" && strings.Contains(shown, test.secret) {
			t.Errorf("%s: %q shows the secret", sentence, shown)
		}
	}
}

// FuzzFind checks that no message makes the parser panic, and that whatever it
// reads does not verify but what the key has signed.
func FuzzFind(f *testing.F) {
	k := newKey(f, "key", "")
	query := new(dns.Msg).SetQuestion("example.com.", dns.TypeTXT)
	query.Id = 1 // the same in each process of the fuzzer
	plain := pack(f, query)
	signed, _ := k.Sign(bytes.Clone(plain), nil, now)
	f.Add(signed)
	f.Add(plain)
	f.Add(signed[:40])
	f.Fuzz(func(t *testing.T, msg []byte) {
		before := bytes.Clone(msg)
		s, err := Find(msg)
		if s == nil || err != nil {
			return
		}
		same := bytes.Equal(msg[2:], signed[2:])
		if err := k.Verify(msg, s, nil, now); err == nil && !same && !bytes.EqualFold(msg[2:], signed[2:]) {
			t.Fatal("what the key has not signed is verified")
		}
		answer := bytes.Clone(plain)
		signature(t, Refuse(bytes.Clone(answer), s, ErrKey, now))
		signature(t, k.SignError(answer, s, ErrTime, now))
		if !bytes.Equal(msg, before) {
			t.Fatal("the message was altered")
		}
	})
}
