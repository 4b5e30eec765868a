// One program under two names: "pause" holds the namespaces of a pod; "agnhost" is what the suites
// call, and becomes the real one unless that were to serve SCTP on a kernel that has none.
package main

import (
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"syscall"
)

const real = "/agnhost.real"

func servesSCTP() bool {
	for _, variable := range os.Environ() {
		if strings.HasPrefix(variable, "SERVE_SCTP_PORT_") {
			return true
		}
	}
	return false
}

func hasSCTP() bool {
	socket, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM, syscall.IPPROTO_SCTP)
	if err == nil {
		syscall.Close(socket)
	}
	return err == nil
}

func main() {
	if filepath.Base(os.Args[0]) == "agnhost" && (hasSCTP() || !servesSCTP()) {
		err := syscall.Exec(real, append([]string{"/agnhost"}, os.Args[1:]...), os.Environ())
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(127)
	}
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGINT, syscall.SIGTERM)
	<-asked
}
