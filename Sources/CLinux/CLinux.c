#define _GNU_SOURCE
#include "CLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

const uint32_t clinux_EPOLLIN = EPOLLIN, clinux_EPOLLOUT = EPOLLOUT, clinux_EPOLLRDHUP = EPOLLRDHUP,
               clinux_EPOLLHUP = EPOLLHUP, clinux_EPOLLERR = EPOLLERR, clinux_EPOLLET = EPOLLET;

int clinux_accept(int fd, struct sockaddr_storage *address, socklen_t *length) {
    *length = sizeof *address;
    return accept4(fd, (struct sockaddr *)address, length, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

int clinux_socket(int family, int type) {
    return socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
}

int clinux_socketpair(int fds[2]) {
    return socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fds);
}

int clinux_peer_credentials(int fd, pid_t *pid, uid_t *uid, gid_t *gid) {
    struct ucred credentials;
    socklen_t length = sizeof credentials;
    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &credentials, &length) != 0) return -1;
    // A socket that is not a Unix socket, or has no peer, answers with uid -1: that is nobody, not an identity.
    if (length != sizeof credentials || credentials.uid == (uid_t)-1) {
        errno = ENOTCONN;
        return -1;
    }
    *pid = credentials.pid;
    *uid = credentials.uid;
    *gid = credentials.gid;
    return 0;
}

int clinux_peer_groups(int fd, gid_t *groups, int *count) {
    socklen_t length = (socklen_t)((size_t)*count * sizeof *groups);
    int result = getsockopt(fd, SOL_SOCKET, SO_PEERGROUPS, groups, &length);
    // ENODATA: it has no peer whose groups are known.
    if (result != 0 && errno == ENODATA) errno = ENOTCONN;
    if (result == 0 || errno == ERANGE) *count = (int)(length / sizeof *groups);
    return result;
}

int clinux_eventfd(void) { return eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC); }

static void fill(sigset_t *set, const int *signals, int count) {
    sigemptyset(set);
    for (int i = 0; i < count; i++) sigaddset(set, signals[i]);
}

int clinux_signalfd(const int *signals, int count) {
    sigset_t set;
    fill(&set, signals, count);
    return signalfd(-1, &set, SFD_NONBLOCK | SFD_CLOEXEC);
}

int clinux_block_signals(const int *signals, int count) {
    sigset_t set;
    fill(&set, signals, count);
    return pthread_sigmask(SIG_BLOCK, &set, NULL);
}

int clinux_unblock_signals(const int *signals, int count) {
    sigset_t set;
    fill(&set, signals, count);
    return pthread_sigmask(SIG_UNBLOCK, &set, NULL);
}

int clinux_ignore_signal(int signal) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = SIG_IGN;
    return sigaction(signal, &action, NULL);
}

int clinux_forbid_core_dumps(void) {
    struct rlimit none = {0, 0};
    if (setrlimit(RLIMIT_CORE, &none) != 0) return errno;
    return prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) == 0 ? 0 : errno;
}

int clinux_set_thread_name(const char *name) { return pthread_setname_np(pthread_self(), name); }

int clinux_get_thread_name(char *name, size_t size) { return pthread_getname_np(pthread_self(), name, size); }

// glibc has neither the calls nor the structure (sched_setattr(2), linux/sched/types.h).
struct scheduling {
    uint32_t size, policy;
    uint64_t flags;
    int32_t nice;
    uint32_t priority;
    uint64_t runtime, deadline, period;
};

int clinux_set_slice(uint64_t nanoseconds) {
    struct scheduling scheduling = {0};
    if (syscall(SYS_sched_getattr, 0, &scheduling, sizeof scheduling, 0) != 0) return errno;
    if (scheduling.policy != SCHED_OTHER && scheduling.policy != SCHED_BATCH) return EINVAL;
    scheduling.size = sizeof scheduling;
    scheduling.runtime = nanoseconds;
    return syscall(SYS_sched_setattr, 0, &scheduling, 0) == 0 ? 0 : errno;
}

uint64_t clinux_get_slice(void) {
    struct scheduling scheduling = {0};
    return syscall(SYS_sched_getattr, 0, &scheduling, sizeof scheduling, 0) == 0 ? scheduling.runtime : 0;
}

const char *clinux_errno_name(int error) { return strerrorname_np(error); }

const char *clinux_errno_text(int error) { return strerrordesc_np(error); }

uintptr_t clinux_thread_identity(void) { return (uintptr_t)pthread_self(); }

int clinux_open(const char *path, int flags) { return open(path, flags | O_CLOEXEC); }

ssize_t clinux_send_descriptors(int fd, const void *bytes, size_t size, const int *descriptors, int count) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * CLINUX_MAXIMUM_DESCRIPTORS)];
    } control;
    struct iovec vector = {(void *)bytes, size};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    if (count < 0 || count > CLINUX_MAXIMUM_DESCRIPTORS) {
        errno = EINVAL;
        return -1;
    }
    if (count > 0) {
        memset(&control, 0, sizeof control);
        message.msg_control = control.room;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * (size_t)count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * (size_t)count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * (size_t)count);
    }
    return sendmsg(fd, &message, MSG_NOSIGNAL);
}

ssize_t clinux_receive_descriptors(int fd, void *bytes, size_t size, int *descriptors, int *count) {
    union {
        struct cmsghdr header;
        char room[CMSG_SPACE(sizeof(int) * CLINUX_MAXIMUM_DESCRIPTORS)];
    } control;
    struct iovec vector = {bytes, size};
    struct msghdr message;
    memset(&message, 0, sizeof message);
    message.msg_iov = &vector;
    message.msg_iovlen = 1;
    message.msg_control = control.room;
    message.msg_controllen = sizeof control.room;
    *count = 0;
    ssize_t received = recvmsg(fd, &message, MSG_CMSG_CLOEXEC);
    if (received < 0) return received;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        int found = (int)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(descriptors, CMSG_DATA(header), sizeof(int) * (size_t)found);
        *count = found;
    }
    return received;
}

int clinux_duplicate(int fd) { return fcntl(fd, F_DUPFD_CLOEXEC, 3); }

int clinux_prepare_inherited(int fd) {
    int flags = fcntl(fd, F_GETFL);
    if (flags < 0 || fcntl(fd, F_SETFL, flags | O_NONBLOCK) < 0) return -1;
    return fcntl(fd, F_SETFD, FD_CLOEXEC);
}

int clinux_inotify(void) { return inotify_init1(IN_NONBLOCK | IN_CLOEXEC); }

int clinux_watch(int fd, const char *directory) {
    // Not IN_MODIFY: what counts is a file that is complete, or an entry that means another file.
    return inotify_add_watch(fd, directory,
                             IN_CLOSE_WRITE | IN_MOVED_TO | IN_MOVED_FROM | IN_CREATE | IN_DELETE | IN_ATTRIB |
                                 IN_DELETE_SELF | IN_MOVE_SELF | IN_ONLYDIR);
}

int clinux_unwatch(int fd, int watch) { return inotify_rm_watch(fd, watch); }
