//go:build !unix

package jwks

import "os"

// openPrivate opens the file. On this system access control lists decide who can write
// it; set them when the service is installed.
func openPrivate(path string) (*os.File, error) { return os.Open(path) }

func checkPrivateDir(string) error { return nil }
