package deploy

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf16"

	"github.com/certiform/terraform-provider-certificate/internal/deploy/transport"
	"github.com/certiform/terraform-provider-certificate/internal/pki"
)

// IISOptions describe a binding of an IIS site.
type IISOptions struct {
	Site string
	Host string // host name of the binding; empty for the one without
	Port int    // default 443
}

// IIS is the target for Internet Information Services: the certificate goes into
// the machine's store, and the binding is given it; flags of the binding stay.
// The certificate before stays in the store.
type IIS struct{ options IISOptions }

var _ Returner = (*IIS)(nil)

// NewIIS checks the options and returns the target.
func NewIIS(options IISOptions) (*IIS, error) {
	if options.Site == "" {
		return nil, errors.New("iis needs the name of the site")
	}
	if options.Port == 0 {
		options.Port = 443
	}
	return &IIS{options}, nil
}

// Name implements Target.
func (*IIS) Name() string { return "iis" }

// iisCall is what a script is told; the file with key and certificate follows it.
type iisCall struct {
	Site     string `json:"site"`
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Password string `json:"password,omitempty"`   // of the file, drawn for this call
	Hash     string `json:"thumbprint,omitempty"` // of the certificate to bind
}

// iisReply is what a script says.
type iisReply struct {
	Error       string `json:"error"`
	Hash        string `json:"thumbprint"`  // of the certificate that is bound
	Certificate []byte `json:"certificate"` // DER
	Known       bool   `json:"known"`       // whether what was bound before the deployments is noted
}

// The scripts run in Windows PowerShell 5.1 with the module WebAdministration.
// They are constants: what they are about comes on stdin, a line of JSON and a
// line with the file, both in base64, and the answer is a line of JSON.
const (
	iisBegin = `
$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue'
$l=@($input);$a=[Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($l[0]))|ConvertFrom-Json
function say($o){[Console]::Out.WriteLine(($o|ConvertTo-Json -Compress))}
function binding{$b=@(Get-WebBinding -Name $a.site -Protocol https -Port $a.port -HostHeader $a.host)
if($b.Count -ne 1){throw "the site $($a.site) has $($b.Count) https bindings at port $($a.port) with the host name '$($a.host)', want one"};$b[0]}
try{Import-Module WebAdministration
`
	iisEnd = `
}catch{say @{error=$_.Exception.Message}}
`
	iisFetch = "# certificate iis fetch" + iisBegin + `
$b=binding;$h="$($b.certificateHash)";$c=''
if($h){$i=Get-Item -LiteralPath "Cert:\LocalMachine\$($b.certificateStoreName)\$h" -ErrorAction SilentlyContinue;if($i){$c=[Convert]::ToBase64String($i.RawData)}}
say @{thumbprint=$h;certificate=$c}` + iisEnd
	iisInstall = "# certificate iis install" + iisBegin + `
$b=binding;$k='MachineKeySet,PersistKeySet'
$s=New-Object Security.Cryptography.X509Certificates.X509Certificate2Collection
$s.Import([Convert]::FromBase64String($l[1]),$a.password,$k)
foreach($c in $s){$n='CA';if($c.HasPrivateKey){$n='My'}
$t=New-Object Security.Cryptography.X509Certificates.X509Store($n,'LocalMachine');$t.Open('ReadWrite');$t.Add($c);$t.Close()}
$b.AddSslCertificate($a.thumbprint,'My')
say @{thumbprint=$a.thumbprint}` + iisEnd
	iisBind = "# certificate iis bind" + iisBegin + `
$b=binding
if($a.thumbprint){$b.AddSslCertificate($a.thumbprint,'My')}else{$b.RemoveSslCertificate()}
say @{thumbprint=$a.thumbprint}` + iisEnd

	// What was bound before the deployments is noted in a file for each binding.
	iisNote = `
$f=Join-Path $env:ProgramData 'certificate-deployments'
$f=Join-Path $f ("iis-"+[BitConverter]::ToString([Security.Cryptography.SHA256]::Create().ComputeHash([Text.Encoding]::UTF8.GetBytes("$($a.site)|$($a.host)|$($a.port)"))).Replace('-','').Substring(0,20))
`
	iisKeep = "# certificate iis keep" + iisBegin + iisNote + `
if(-not(Test-Path -LiteralPath $f)){[void](New-Item -ItemType Directory -Force (Split-Path $f))
[IO.File]::WriteAllText("$f.new",$a.thumbprint);[IO.File]::Move("$f.new",$f)}
say @{known=$true}` + iisEnd
	iisOrigin = "# certificate iis origin" + iisBegin + iisNote + `
if(-not(Test-Path -LiteralPath $f)){say @{known=$false}}else{
$h=[IO.File]::ReadAllText($f);$c=''
if($h){$i=Get-Item -LiteralPath "Cert:\LocalMachine\My\$h" -ErrorAction SilentlyContinue
if(-not $i){throw "the certificate from before, $h, is no longer in the machine's store"};$c=[Convert]::ToBase64String($i.RawData)}
say @{known=$true;thumbprint=$h;certificate=$c}}` + iisEnd
	iisForget = "# certificate iis forget" + iisBegin + iisNote + `
if(Test-Path -LiteralPath $f){Remove-Item -LiteralPath $f}
say @{known=$false}` + iisEnd
)

// Fetch implements Service.
func (i *IIS) Fetch(ctx context.Context, machine transport.Transport) (Holding, error) {
	reply, err := i.script(ctx, machine, iisFetch, iisCall{}, nil)
	return reply.holding(), err
}

// holding is what a reply tells of a binding.
func (r iisReply) holding() Holding {
	held := Holding{Back: r.Hash}
	if leaf, err := x509.ParseCertificate(r.Certificate); err == nil {
		held.Chain = []*x509.Certificate{leaf}
	}
	return held
}

// KeepOrigin implements Returner: the note says which certificate of the store
// was bound.
func (i *IIS) KeepOrigin(ctx context.Context, machine transport.Transport, before Holding) error {
	hash, _ := before.Back.(string)
	_, err := i.script(ctx, machine, iisKeep, iisCall{Hash: hash}, nil)
	return err
}

// Origin implements Returner.
func (i *IIS) Origin(ctx context.Context, machine transport.Transport) (Holding, bool, error) {
	reply, err := i.script(ctx, machine, iisOrigin, iisCall{}, nil)
	return reply.holding(), reply.Known, err
}

// DropOrigin implements Returner.
func (i *IIS) DropOrigin(ctx context.Context, machine transport.Transport) error {
	_, err := i.script(ctx, machine, iisForget, iisCall{}, nil)
	return err
}

// Install implements Service. The file is PKCS#12 with 3DES: Windows Server 2016
// and older read nothing newer. Its password is drawn for this one call.
func (i *IIS) Install(ctx context.Context, machine transport.Transport, m Material) error {
	var secret [16]byte
	_, _ = rand.Read(secret[:]) // never fails (Go 1.24)
	call := iisCall{Password: hex.EncodeToString(secret[:]), Hash: pki.Thumbprint(m.Chain[0])}
	file, err := pki.WriteKeystore(pki.PKCS12Legacy, nil, call.Password, pki.KeystoreEntry{Alias: call.Hash, Key: m.Key, Chain: m.Chain})
	if err != nil {
		return err
	}
	_, err = i.script(ctx, machine, iisInstall, call, file)
	return err
}

// Restore implements Service: the binding gets the certificate it had.
func (i *IIS) Restore(ctx context.Context, machine transport.Transport, before Holding) error {
	hash, _ := before.Back.(string)
	_, err := i.script(ctx, machine, iisBind, iisCall{Hash: hash}, nil)
	return err
}

// Settle implements Service. The certificate before stays in the store: other
// bindings may have it too.
func (*IIS) Settle(context.Context, transport.Transport, Holding) error { return nil }

// script runs one of the scripts.
func (i *IIS) script(ctx context.Context, machine transport.Transport, script string, call iisCall, file []byte) (iisReply, error) {
	call.Site, call.Host, call.Port = i.options.Site, i.options.Host, i.options.Port
	told, err := json.Marshal(call)
	if err != nil {
		return iisReply{}, errors.New("encode what PowerShell is told")
	}
	encode := base64.StdEncoding.EncodeToString
	stdin := encode(told) + "\r\n" + encode(file) + "\r\n"
	argv := []string{"powershell.exe", "-NoProfile", "-NonInteractive", "-EncodedCommand", encode(utf16le(script))}
	out, err := machine.Run(ctx, argv, []byte(stdin))
	if err != nil {
		return iisReply{}, err
	}
	if err := transport.ExitError(argv[:1], out); err != nil {
		return iisReply{}, err
	}
	var reply iisReply
	if err := json.Unmarshal([]byte(strings.TrimSpace(out.Text)), &reply); err != nil {
		return iisReply{}, fmt.Errorf("%w: PowerShell says %q", ErrAdmin, abridged(out.Text))
	}
	if reply.Error != "" {
		return iisReply{}, fmt.Errorf("%w: %s", ErrAdmin, reply.Error)
	}
	return reply, nil
}

// utf16le is how PowerShell takes an encoded command.
func utf16le(text string) []byte {
	var out []byte
	for _, unit := range utf16.Encode([]rune(text)) {
		out = binary.LittleEndian.AppendUint16(out, unit)
	}
	return out
}
