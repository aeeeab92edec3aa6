// Bytes in use on the heap, large blocks included: glibc's malloc.h is in no Swift module.
#ifndef HEAP_USE_H
#define HEAP_USE_H

#include <stddef.h>

size_t heap_bytes_in_use(void);

#endif
