//go:build unix

package jwks

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
)

// openPrivate opens a file that no other user can have written: a regular file that,
// like its directory, belongs to this user and is not writable by others. It
// checks the open file, so that the file checked is the file read. It does not
// follow a symbolic link, and does not block if the file is a pipe.
func openPrivate(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	switch {
	case errors.Is(err, syscall.ELOOP) || errors.Is(err, syscall.EMLINK):
		return nil, errors.New("refused: a symbolic link")
	case err != nil:
		return nil, err
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = errors.New("refused: not a regular file")
	}
	if err == nil {
		err = isPrivate("the file", info)
	}
	if err == nil {
		err = checkPrivateDir(path)
	}
	if err != nil {
		file.Close()
		return nil, err
	}
	return file, nil
}

// checkPrivateDir checks the directory of a file: anyone who can write to it can
// replace the file.
func checkPrivateDir(path string) error {
	info, err := os.Stat(filepath.Dir(path))
	if err != nil {
		return err
	}
	return isPrivate("the directory", info)
}

func isPrivate(what string, info os.FileInfo) error {
	stat, ok := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || int(stat.Uid) != os.Geteuid():
		return fmt.Errorf("refused: %s belongs to another user", what)
	case info.Mode().Perm()&0o022 != 0:
		return fmt.Errorf("refused: others can write %s (mode %04o)", what, info.Mode().Perm())
	}
	return nil
}
