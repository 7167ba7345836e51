//go:build !linux

package nettest

import (
	"net/netip"
	"testing"
)

// BlackHole occupies a TCP address that does not answer: connections to it are
// neither accepted nor refused. ok is false where the system cannot do that.
func BlackHole(testing.TB, netip.AddrPort) (ok bool) { return false }
