#ifndef CLINUX_H
#define CLINUX_H
// Linux calls and macros that Swift's Glibc module lacks: headers it leaves out, calls behind _GNU_SOURCE, variadics
// and macros that the importer does not translate.
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

// Values whose macros or types the importer cannot use as they are.
extern const uint32_t clinux_EPOLLIN, clinux_EPOLLOUT, clinux_EPOLLRDHUP, clinux_EPOLLHUP, clinux_EPOLLERR,
    clinux_EPOLLET;

/// accept4 with SOCK_NONBLOCK | SOCK_CLOEXEC; stores the peer's address in `address`. -1 and errno on error.
int clinux_accept(int fd, struct sockaddr_storage *address, socklen_t *length);

/// A socket with SOCK_NONBLOCK | SOCK_CLOEXEC; `type` is SOCK_STREAM or SOCK_DGRAM. -1 and errno on error.
int clinux_socket(int family, int type);

/// A pair of connected Unix stream sockets with SOCK_NONBLOCK | SOCK_CLOEXEC. -1 and errno on error.
int clinux_socketpair(int fds[2]);

/// The credentials of the peer of a Unix socket (SO_PEERCRED), as of its connect() or listen(). -1 and errno on error.
int clinux_peer_credentials(int fd, pid_t *pid, uid_t *uid, gid_t *gid);

/// The supplementary groups of the peer of a Unix socket (SO_PEERGROUPS). `count` is how many `groups` has room for, and then
/// how many there are. -1 and errno on error: ERANGE when there is too little room.
int clinux_peer_groups(int fd, gid_t *groups, int *count);

/// An eventfd with EFD_NONBLOCK | EFD_CLOEXEC. -1 and errno on error.
int clinux_eventfd(void);

/// A signalfd for `count` signals, non-blocking and close-on-exec. -1 and errno on error.
int clinux_signalfd(const int *signals, int count);

/// Blocks `count` signals in the calling thread and all that it starts. 0 or an errno value.
int clinux_block_signals(const int *signals, int count);

/// Unblocks `count` signals in the calling thread. 0 or an errno value.
int clinux_unblock_signals(const int *signals, int count);

/// Ignores `signal` in the whole process. -1 and errno on error.
int clinux_ignore_signal(int signal);

/// The kernel writes no core dump of this process (RLIMIT_CORE 0), and processes of the same user can neither attach to it nor
/// read its memory (PR_SET_DUMPABLE 0). 0 or an errno value.
int clinux_forbid_core_dumps(void);

/// Names the calling thread; at most 15 bytes. 0 or an errno value.
int clinux_set_thread_name(const char *name);

/// Asks the scheduler to give the calling thread turns of so many nanoseconds, where it is an ordinary one (SCHED_OTHER, SCHED_BATCH).
/// Who asks for short turns is let in sooner when there is something to do (EEVDF). Takes no privilege; kernels before 6.12
/// accept it without effect. 0 or an errno value.
int clinux_set_slice(uint64_t nanoseconds);

/// The turn that was asked for, in nanoseconds; 0 where the kernel does not say.
uint64_t clinux_get_slice(void);

/// Copies the calling thread's name into `name` (at least 16 bytes). 0 or an errno value.
int clinux_get_thread_name(char *name, size_t size);

/// The symbol of an errno value ("EACCES"), or NULL.
const char *clinux_errno_name(int error);

/// The text of an errno value in English, or NULL.
const char *clinux_errno_text(int error);

/// A number that differs between the threads that are alive, and is cheap to get; never 0.
uintptr_t clinux_thread_identity(void);

/// How many descriptors one message carries at most; the kernel's limit is 253.
#define CLINUX_MAXIMUM_DESCRIPTORS 64

/// Sends `size` bytes with `count` descriptors (SCM_RIGHTS) on a Unix socket, without SIGPIPE. The bytes sent, or -1 and errno.
ssize_t clinux_send_descriptors(int fd, const void *bytes, size_t size, const int *descriptors, int count);

/// Receives bytes and the descriptors that came with them, close-on-exec; `descriptors` has room for
/// CLINUX_MAXIMUM_DESCRIPTORS. The bytes received, 0 at the end, or -1 and errno.
ssize_t clinux_receive_descriptors(int fd, void *bytes, size_t size, int *descriptors, int *count);

/// Another descriptor for the same open file, close-on-exec. -1 and errno on error.
int clinux_duplicate(int fd);

/// Makes a descriptor that was inherited non-blocking and close-on-exec. -1 and errno on error.
int clinux_prepare_inherited(int fd);

/// An inotify descriptor, non-blocking and close-on-exec. -1 and errno on error.
int clinux_inotify(void);

/// Watches a directory for entries that are written, moved, made or removed. The watch, or -1 and errno on error.
int clinux_watch(int fd, const char *directory);

/// Ends a watch. -1 and errno on error.
int clinux_unwatch(int fd, int watch);

/// open() of an existing path with O_CLOEXEC. -1 and errno on error.
int clinux_open(const char *path, int flags);

/// Unmaps the pages of the program's and its libraries' files that nobody has written to. They stay in the page cache, and
/// each comes back when it is needed again.
void clinux_release_file_pages(void);

#endif
