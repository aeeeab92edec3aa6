import CSodium

/// Memory for keys that change: locked where the limits permit, between guard pages, wiped when released. For what does not
/// change, see ``Passphrase``.
public final class LockedMemory: @unchecked Sendable {
    // Unchecked: the owner says who uses it when.
    private let memory: UnsafeMutableRawPointer
    /// Bytes.
    public let count: Int

    /// So many zero bytes.
    public init(count: Int) {
        Sodium.start()
        guard let allocated = sodium_malloc(max(1, count)) else { preconditionFailure("no memory for keys") }
        memory = allocated
        self.count = count
        memory.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }

    /// Lends the bytes. Not to be called on two threads at once.
    public func withBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        withExtendedLifetime(self) { body(UnsafeMutableRawBufferPointer(start: memory, count: count)) }
    }

    deinit { sodium_free(memory) }
}
