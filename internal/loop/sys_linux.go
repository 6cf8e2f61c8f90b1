package loop

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// rawLimit is the size up to which a read or write is made without telling the scheduler. The descriptors never block, so
// the call is as short as its copy; larger copies let the scheduler know so that they don't hold up a garbage collection.
const rawLimit = ReadSize

// readFD reads once. n == 0 with errno 0 is the end of the stream. It never blocks.
func readFD(fd int, b []byte) (n int, errno syscall.Errno) {
	for {
		var r uintptr
		if len(b) <= rawLimit {
			r, _, errno = syscall.RawSyscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		} else {
			r, _, errno = syscall.Syscall(syscall.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)))
		}
		if errno != syscall.EINTR {
			if errno != 0 {
				return 0, errno
			}
			return int(r), 0
		}
	}
}

// writeFD writes once. It never blocks and never raises SIGPIPE.
func writeFD(fd int, b []byte) (n int, errno syscall.Errno) {
	for {
		var r uintptr
		if len(b) <= rawLimit {
			r, _, errno = syscall.RawSyscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		} else {
			r, _, errno = syscall.Syscall6(syscall.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(unsafe.SliceData(b))), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0)
		}
		if errno != syscall.EINTR {
			if errno != 0 {
				return 0, errno
			}
			return int(r), 0
		}
	}
}

// GiveUpUnsent bounds how long the kernel tries to deliver what was written to a connection, also after that is closed.
func GiveUpUnsent(fd int, d time.Duration) {
	unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(d.Milliseconds()))
}

// Quiet reports whether there is nothing to be read of a descriptor, nor its end. Any loop may ask, also after another has closed it.
func Quiet(fd int) bool {
	var b [1]byte
	_, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return errno == unix.EAGAIN
}

// Left reports whether the peer has gone already, without a word.
func Left(fd int) bool {
	var b [1]byte
	n, _, errno := syscall.RawSyscall6(syscall.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b)), 1, unix.MSG_PEEK|unix.MSG_DONTWAIT, 0, 0)
	return errno == 0 && n == 0 || errno == unix.ECONNRESET
}

func shutdownFD(fd int) { unix.Shutdown(fd, unix.SHUT_RDWR) }

func closeFD(fd int) { unix.Close(fd) }
