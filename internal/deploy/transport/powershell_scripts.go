package transport

import (
	"encoding/base64"
	"encoding/binary"
	"unicode/utf16"
)

// The scripts run in Windows PowerShell 5.1. Each is a constant: what a call is
// about comes as JSON on the first line of stdin, file content on the lines after
// it, both in base64, so nothing has to be quoted and nothing secret is in a
// command line. The answer is a line of JSON, and content on the next, in base64
// too: neither direction depends on a code page.
//
// A script is given as -EncodedCommand, because cmd.exe and PowerShell, either of
// which can be the shell of sshd, quote differently. cmd.exe takes 8191
// characters.

// scriptBegin says that the script has begun, and reads stdin.
const scriptBegin = `
$ErrorActionPreference='Stop';$ProgressPreference='SilentlyContinue'
[Console]::Out.WriteLine('` + mark + `'+$PID)
$l=@($input)
$a=[Text.Encoding]::UTF8.GetString([Convert]::FromBase64String($l[0]))|ConvertFrom-Json
function say($o){[Console]::Out.WriteLine([Convert]::ToBase64String([Text.Encoding]::UTF8.GetBytes(($o|ConvertTo-Json -Compress))))}
function content{,[Convert]::FromBase64String([string]::Join('',@($l|Select-Object -Skip 1)))}
function missing($p){throw (New-Object IO.FileNotFoundException "$p does not exist")}
function number($r){$e=$r.Exception;while($e.InnerException){$e=$e.InnerException};$e.HResult -band 0xffff}
try{
`

// scriptEnd reports what went wrong: by the type of the exception, and by the
// error numbers for a full disk, a file in use and a disk that is not writable.
const scriptEnd = `
}catch{
$e=$_.Exception;while($e.InnerException){$e=$e.InnerException}
$k='';switch(number $_){2{$k='missing'}3{$k='missing'}5{$k='denied'}32{$k='busy'}33{$k='busy'}39{$k='full'}112{$k='full'}19{$k='readonly'}}
if($e -is [IO.FileNotFoundException] -or $e -is [IO.DirectoryNotFoundException]){$k='missing'}
say @{error=$e.Message;kind=$k;path="$p"}
}
`

// scriptReal follows symbolic links at the end of a path.
const scriptReal = `
function real($p){for($n=0;$n -lt 40;$n++){
$i=Get-Item -LiteralPath $p -Force -ErrorAction SilentlyContinue
if(!$i -or $i.LinkType -ne 'SymbolicLink'){return $p}
$t=@($i.Target)[0];if([IO.Path]::IsPathRooted($t)){$p=$t}else{$p=[IO.Path]::Combine([IO.Path]::GetDirectoryName($p),$t)}}
throw "$p is behind too many symbolic links"}
`

// scriptACL reads and sets access lists. An empty one stands for what the
// directory gives.
const scriptACL = `
function list($p){[IO.File]::GetAccessControl($p,'Access').GetSecurityDescriptorSddlForm('Access')}
function allow($p,$s){$c=New-Object Security.AccessControl.FileSecurity
if($s){$c.SetSecurityDescriptorSddlForm($s,'Access')}else{$c.SetAccessRuleProtection($false,$false)}
[IO.File]::SetAccessControl($p,$c)}
`

// scriptRetry repeats what fails because somebody has the file open at that
// moment, a virus scanner for instance. Nothing is deleted to make it work.
const scriptRetry = `
function retry($do){for($n=0;;$n++){try{&$do;return}catch{
if($n -ge 50 -or 5,32,33,1175,1176 -notcontains (number $_)){throw}
Start-Sleep -Milliseconds 100}}}
`

func scriptRead() string {
	return "# certificate read" + scriptReal + scriptACL + scriptBegin + `
$p=real $a.path
if([IO.Directory]::Exists($p)){throw "$p is a directory"}
if(![IO.File]::Exists($p)){missing $p}
$s=New-Object IO.FileStream($p,'Open','Read','ReadWrite,Delete')
if($s.Length -gt $a.limit){$s.Close();throw "it is larger than $($a.limit) bytes"}
$b=New-Object byte[] $s.Length;$n=0
while($n -lt $b.Length){$r=$s.Read($b,$n,$b.Length-$n);if($r -eq 0){break};$n+=$r}
$s.Close()
say @{path=$p;label=(list $p)}
[Console]::Out.WriteLine([Convert]::ToBase64String($b,0,$n))` + scriptEnd
}

// scriptStage holds the new file so that nobody else can open it, until it has
// the private access list and its content.
func scriptStage() string {
	return "# certificate stage" + scriptReal + scriptACL + scriptBegin + `
$p=real $a.path;$d=[IO.Path]::GetDirectoryName($p)
if(![IO.Directory]::Exists($d)){missing $d}
$t=[IO.Path]::Combine($d,'.'+[IO.Path]::GetFileName($p)+$a.suffix)
$f=New-Object IO.FileStream($t,'CreateNew','Write','None')
try{
try{allow $t $a.private;$b=content;$f.Write($b,0,$b.Length);$f.Flush($true)}finally{$f.Close()}
if($a.label -ne $a.private){allow $t $a.label}
}catch{[IO.File]::Delete($t);throw}
say @{temporary=$t;path=$p}` + scriptEnd
}

// scriptRename keeps the access list of the new file: Replace gives it that of
// the old one.
func scriptRename() string {
	return "# certificate rename" + scriptACL + scriptRetry + scriptBegin + `
$t=$a.temporary;$p=$a.path
if(![IO.File]::Exists($t)){missing $t}
$s=list $t
retry {if([IO.File]::Exists($p)){[IO.File]::Replace($t,$p,[NullString]::Value)}else{[IO.File]::Move($t,$p)}}
allow $p $s
say @{path=$p}` + scriptEnd
}

func scriptRemove() string {
	return "# certificate remove" + scriptReal + scriptRetry + scriptBegin + `
$p=real $a.path
if([IO.Directory]::Exists($p)){throw "$p is a directory"}
if(![IO.File]::Exists($p)){missing $p}
retry {[IO.File]::Delete($p)}
say @{path=$p}` + scriptEnd
}

func scriptList() string {
	return "# certificate list" + scriptBegin + `
$p=$a.path
if([IO.File]::Exists($p)){throw "$p is a file"}
if(![IO.Directory]::Exists($p)){missing $p}
say @{names=@([IO.Directory]::GetFileSystemEntries($p)|ForEach-Object{[IO.Path]::GetFileName($_)})}` + scriptEnd
}

func scriptCheck() string {
	return "# certificate check" + scriptReal + scriptBegin + `
$p=real $a.path;$d=[IO.Path]::GetDirectoryName($p)
if([IO.Directory]::Exists($p)){throw "$p is a directory, want the path of a file"}
if([IO.File]::Exists($d)){throw "$d is a file, not a directory"}
if(![IO.Directory]::Exists($d)){missing $d}
say @{path=$p}` + scriptEnd
}

// scriptRun gives a command a second after its end for output that a child still
// holds open.
func scriptRun() string {
	return "# certificate run" + scriptBegin + `
$p=$a.file
$s=New-Object Diagnostics.ProcessStartInfo;$s.FileName=$a.file;$s.Arguments=$a.arguments;$s.UseShellExecute=$false;$s.CreateNoWindow=$true
$s.RedirectStandardInput=$true;$s.RedirectStandardOutput=$true;$s.RedirectStandardError=$true
$c=[Diagnostics.Process]::Start($s)
$o=New-Object IO.MemoryStream;$e=New-Object IO.MemoryStream
$w=[Threading.Tasks.Task[]]@($c.StandardOutput.BaseStream.CopyToAsync($o),$c.StandardError.BaseStream.CopyToAsync($e))
$b=content;try{$c.StandardInput.BaseStream.Write($b,0,$b.Length)}catch{}
try{$c.StandardInput.Close()}catch{}
$c.WaitForExit();[void][Threading.Tasks.Task]::WaitAll($w,1000)
$b=$e.ToArray();$o.Write($b,0,$b.Length);$b=$o.ToArray();$n=[Math]::Min($b.Length,$a.limit)
say @{code=$c.ExitCode}
[Console]::Out.WriteLine([Convert]::ToBase64String($b,0,$n))` + scriptEnd
}

// powerShellLine is the command line that runs a script.
func powerShellLine(script string) string {
	units := utf16.Encode([]rune(script))
	raw := make([]byte, 0, 2*len(units))
	for _, unit := range units {
		raw = binary.LittleEndian.AppendUint16(raw, unit)
	}
	return "powershell.exe -NoProfile -NonInteractive -ExecutionPolicy Bypass -EncodedCommand " + base64.StdEncoding.EncodeToString(raw)
}
