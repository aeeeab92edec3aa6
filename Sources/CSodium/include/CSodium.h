#ifndef CSODIUM_H
#define CSODIUM_H
// libsodium: guarded and wiped memory, randomness, hashes, constant-time encodings and comparisons, Ed25519.
#include <sodium.h>
#endif
