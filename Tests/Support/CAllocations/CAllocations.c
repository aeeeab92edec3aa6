#include "CAllocations.h"
#include <errno.h>
#include <malloc.h>
#include <stddef.h>

#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define SANITIZED 1
#endif
#endif

#if defined(SANITIZED) || !defined(__GLIBC__)
int64_t callocations_count(void) { return -1; }
int64_t callocations_bytes(void) { return 0; }
#else
// glibc allows a program to define these functions itself and keeps its own under other names.
extern void *__libc_malloc(size_t size);
extern void *__libc_calloc(size_t count, size_t size);
extern void *__libc_realloc(void *old, size_t size);
extern void *__libc_memalign(size_t alignment, size_t size);
extern void __libc_free(void *memory);

static __thread int64_t allocations __attribute__((tls_model("initial-exec")));
static __thread int64_t bytes __attribute__((tls_model("initial-exec")));

int64_t callocations_count(void) { return allocations; }
int64_t callocations_bytes(void) { return bytes; }

/// What a block takes of the heap: its size as malloc rounded it, and the word in front of it.
static int64_t held(void *memory) {
    return memory == NULL ? 0 : (int64_t)(malloc_usable_size(memory) + sizeof(size_t));
}

static void *counted(void *memory) {
    allocations++;
    bytes += held(memory);
    return memory;
}

void *malloc(size_t size) { return counted(__libc_malloc(size)); }

void *calloc(size_t count, size_t size) { return counted(__libc_calloc(count, size)); }

void *realloc(void *old, size_t size) {
    int64_t before = held(old);
    void *memory = __libc_realloc(old, size);
    // Where there is nothing to give, the old block stays; unless nothing was asked for, which frees it.
    if (memory != NULL || size == 0) bytes -= before;
    return counted(memory);
}

void *memalign(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size)); }

void *aligned_alloc(size_t alignment, size_t size) { return counted(__libc_memalign(alignment, size)); }

int posix_memalign(void **result, size_t alignment, size_t size) {
    void *memory = counted(__libc_memalign(alignment, size));
    if (memory == NULL) return ENOMEM;
    *result = memory;
    return 0;
}

void free(void *memory) {
    bytes -= held(memory);
    __libc_free(memory);
}
#endif
