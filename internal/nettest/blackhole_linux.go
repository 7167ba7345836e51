package nettest

import (
	"net"
	"net/netip"
	"os"
	"syscall"
	"testing"
	"time"
)

// BlackHole occupies a TCP address that does not answer: connections to it are
// neither accepted nor refused. ok is false where the system cannot do that.
func BlackHole(t testing.TB, addr netip.AddrPort) (ok bool) {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(os.NewSyscallError("socket", err))
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Port: int(addr.Port()), Addr: addr.Addr().As4()}); err != nil {
		t.Fatal(os.NewSyscallError("bind", err))
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(os.NewSyscallError("listen", err))
	}
	// When the queue of a listener that does not accept is full, the system
	// drops connection requests.
	for range 8 {
		conn, err := net.DialTimeout("tcp", addr.String(), 100*time.Millisecond)
		if err != nil {
			return true
		}
		t.Cleanup(func() { conn.Close() })
	}
	return false
}
