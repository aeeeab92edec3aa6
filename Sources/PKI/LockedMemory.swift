/// Memory for keys that change (``GuardedMemory``). For what does not change, see ``Passphrase``.
public final class LockedMemory: @unchecked Sendable {
    // Unchecked: the owner says who uses it when.
    private let memory: GuardedMemory.Block
    /// Bytes.
    public let count: Int

    /// So many zero bytes.
    public init(count: Int) {
        memory = GuardedMemory.allocate(count)
        self.count = count
        memory.pointer.initializeMemory(as: UInt8.self, repeating: 0, count: count)
    }

    /// Lends the bytes. Not to be called on two threads at once.
    public func withBytes<Result>(_ body: (UnsafeMutableRawBufferPointer) -> Result) -> Result {
        withExtendedLifetime(self) { body(UnsafeMutableRawBufferPointer(start: memory.pointer, count: count)) }
    }

    deinit { GuardedMemory.free(memory) }
}
