import Testing

/// All tests of the room, one after the other: some of them look at the heap of the process.
@Suite("TLS", .serialized)
struct TLSTests {}
