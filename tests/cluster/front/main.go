// One program under two names: "pause" holds the namespaces of a pod; "agnhost" is what the suites
// call. It becomes the real agnhost, but for SCTP on a kernel that has no such sockets: then it
// speaks as much of SCTP as a connection needs itself (sctp.go).
package main

import (
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	real    = "/agnhost.real"
	serves  = "SERVE_"
	servesS = "SERVE_SCTP_PORT_"
)

func hasSCTP() bool {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_SCTP)
	if err == nil {
		syscall.Close(socket)
	}
	return err == nil
}

func main() {
	if filepath.Base(os.Args[0]) != "agnhost" {
		waitForEnd()
		return
	}
	if !hasSCTP() && len(os.Args) > 1 {
		switch words := os.Args[2:]; os.Args[1] {
		case "connect":
			if target, timeout, ok := asksForSCTP(words); ok {
				connect(target, timeout)
			}
		case "porter":
			if ports, others := portsToServe(); len(ports) > 0 {
				serveSCTP(ports)
				if others {
					run(words)
				}
				waitForEnd()
				return
			}
		}
	}
	err := syscall.Exec(real, append([]string{"/agnhost"}, os.Args[1:]...), os.Environ())
	fail("UNKNOWN: %v", err)
}

func fail(format string, words ...any) {
	fmt.Fprintf(os.Stderr, format+"\n", words...)
	os.Exit(1)
}

func waitForEnd() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGINT, syscall.SIGTERM)
	<-asked
}

// asksForSCTP reads the words after "connect".
func asksForSCTP(words []string) (target string, timeout time.Duration, ok bool) {
	for _, word := range words {
		switch name, value, _ := strings.Cut(word, "="); {
		case name == "--protocol":
			ok = value == "sctp"
		case name == "--timeout":
			timeout, _ = time.ParseDuration(value)
		case !strings.HasPrefix(word, "-"):
			target = word
		}
	}
	return
}

// portsToServe tells the ports of SCTP, and whether there are ports of other protocols.
func portsToServe() (ports []string, others bool) {
	for _, variable := range os.Environ() {
		name, _, _ := strings.Cut(variable, "=")
		if port, found := strings.CutPrefix(name, servesS); found {
			ports = append(ports, port)
		} else if strings.HasPrefix(name, serves) {
			others = true
		}
	}
	return
}

// run starts the real porter for everything but SCTP, and ends when it does.
func run(words []string) {
	porter := exec.Command(real, append([]string{"porter"}, words...)...)
	porter.Stdout, porter.Stderr = os.Stdout, os.Stderr
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, servesS) {
			porter.Env = append(porter.Env, variable)
		}
	}
	if err := porter.Start(); err != nil {
		fail("UNKNOWN: %v", err)
	}
	go func() { fail("porter ended: %v", porter.Wait()) }()
}
