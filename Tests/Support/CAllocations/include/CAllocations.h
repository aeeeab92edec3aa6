// Counts heap allocations, so that "no allocation per frame" is a test and not a hope. Part of no product.
#pragma once
#include <stdint.h>

// How many allocations the calling thread has made; -1 where they are not counted (sanitizers have their own malloc).
int64_t callocations_count(void);
