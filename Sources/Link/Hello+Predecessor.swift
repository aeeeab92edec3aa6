internal import Bytes

extension Hello {
    /// The extension that names the run which the sender took over from.
    static let predecessorExtension: UInt16 = 5

    /// The boot id of the run of this agent that the sender has taken over from and that ends in order; nil where there is
    /// none.
    public var predecessor: BootID? {
        get {
            guard let value = extensions.first(where: { $0.type == Hello.predecessorExtension })?.value,
                value.count == BootID.size
            else { return nil }
            return value.withUnsafeBytes { BootID(high: $0.loadBE64(), low: $0.loadBE64(at: 8)) }
        }
        set {
            extensions.removeAll { $0.type == Hello.predecessorExtension }
            guard let newValue else { return }
            var writer = ByteWriter(minimumCapacity: BootID.size)
            writer.writeUInt64(newValue.high)
            writer.writeUInt64(newValue.low)
            extensions.append(FrameExtension(type: Hello.predecessorExtension, value: writer.bytes))
        }
    }
}
