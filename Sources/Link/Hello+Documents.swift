extension Hello {
    /// The extension that says which mesh documents the sender has.
    static let documentsExtension: UInt16 = 3

    /// Which mesh documents the sender has, as the room Documents writes it; nil where it takes none. Cut to what an
    /// extension may have.
    public var documents: [UInt8]? {
        get { extensions.first { $0.type == Hello.documentsExtension }?.value }
        set {
            extensions.removeAll { $0.type == Hello.documentsExtension }
            guard let newValue else { return }
            extensions.append(
                FrameExtension(
                    type: Hello.documentsExtension, value: Array(newValue.prefix(FrameExtension.maximumSize))))
        }
    }
}
