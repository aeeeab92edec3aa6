#ifndef CTESTSYSTEM_H
#define CTESTSYSTEM_H

// System calls that the end-to-end tests need and Glibc's Swift module does not show.

#include <spawn.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>

/// Descriptors from `from` on are not inherited.
int ctest_close_from(posix_spawn_file_actions_t *actions, int from);

/// Moves the calling thread into the network namespace of this file (setns); 0, or -1 with errno.
int ctest_enter_network(const char *file);

/// Stops one thread of another process; 0, or -1 with errno. The same thread of the caller lets it go on.
int ctest_hold_thread(int thread);

/// Lets a held thread go on; 0, or -1 with errno.
int ctest_release_thread(int thread);

/// Another process may have descriptors below `limit` only, from now on; 0, or -1 with errno.
int ctest_limit_descriptors(int process, unsigned long limit);

#endif
