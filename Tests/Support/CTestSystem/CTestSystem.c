#define _GNU_SOURCE
#include "CTestSystem.h"

#include <fcntl.h>
#include <sched.h>
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
