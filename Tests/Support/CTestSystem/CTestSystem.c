#define _GNU_SOURCE
#include "CTestSystem.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

int ctest_close_from(posix_spawn_file_actions_t *actions, int from) {
    return posix_spawn_file_actions_addclosefrom_np(actions, from);
}

int ctest_enter_network(const char *file) {
    int fd = open(file, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return -1;
    int result = setns(fd, CLONE_NEWNET);
    close(fd);
    return result;
}

int ctest_hold_thread(int thread) {
    if (ptrace(PTRACE_SEIZE, thread, 0, 0) != 0) return -1;
    if (ptrace(PTRACE_INTERRUPT, thread, 0, 0) != 0) return -1;
    return waitpid(thread, 0, __WALL) == thread ? 0 : -1;
}

int ctest_release_thread(int thread) {
    if (ptrace(PTRACE_DETACH, thread, 0, 0) == 0) return 0;
    int error = errno;
    // One whose process has ended meanwhile keeps that from being waited for until it was itself.
    waitpid(thread, 0, __WALL | WNOHANG);
    errno = error;
    return -1;
}

int ctest_limit_descriptors(int process, unsigned long limit) {
    struct rlimit now;
    if (prlimit(process, RLIMIT_NOFILE, 0, &now) != 0) return -1;
    now.rlim_cur = limit < now.rlim_max ? limit : now.rlim_max;
    return prlimit(process, RLIMIT_NOFILE, &now, 0);
}
