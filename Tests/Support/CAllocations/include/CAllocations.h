// Counts heap allocations and the bytes they hold, a thread at a time: "no allocation per frame" is a test and not a hope,
// and what other tests of the process allocate meanwhile counts for nothing. Part of no product.
#pragma once
#include <stdint.h>

// How many allocations the calling thread has made; -1 where they are not counted (sanitizers have their own malloc).
int64_t callocations_count(void);

// Bytes of the heap that the calling thread has taken less those it has given back, malloc's own word for each block
// included; may be below zero, for what another thread had taken. Always 0 where they are not counted.
int64_t callocations_bytes(void);
