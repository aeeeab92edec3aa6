/// What a legal name of a node, service, group or permission looks like.
///
/// A name is one or more segments of letters, digits, `_` and `-`, joined by dots: `ACL`, `db-1.example.org`,
/// `mesh.directory`. Case counts. Such a name is always one legal SPIFFE path segment.
public enum Name {
    /// The most bytes of a name: that of a host name (RFC 1035, section 2.3.4).
    public static let maximumLength = 253

    /// The first segment of built-in services. A node can't register such a name, and only a pattern that spells it
    /// out reaches one.
    public static let reservedSegment = "mesh"

    /// The built-in service that answers for the directory.
    public static let directoryService = "mesh.directory"

    /// The built-in service that every agent is itself.
    public static let agentService = "mesh.agent"

    /// The built-in service of every agent through which mesh documents travel. Whoever may link reaches it.
    public static let documentsService = "mesh.documents"

    /// Whether `text` is a legal name.
    public static func isLegal(_ text: String) -> Bool {
        var length = 0
        var segment = 0
        for byte in text.utf8 {
            length += 1
            if byte == UInt8(ascii: ".") {
                if segment == 0 { return false }
                segment = 0
            } else if isNameByte(byte) {
                segment += 1
            } else {
                return false
            }
        }
        return segment > 0 && length <= maximumLength
    }

    /// Whether `name` belongs to the built-in services: `mesh` or `mesh.…`.
    public static func isReserved(_ name: String) -> Bool {
        guard name.utf8.starts(with: reservedSegment.utf8) else { return false }
        let rest = name.utf8.dropFirst(reservedSegment.utf8.count)
        return rest.isEmpty || rest.first == UInt8(ascii: ".")
    }

    /// What makes a name legal, in words for messages.
    public static let rule = "letters, digits, `_` and `-` in segments joined by dots, at most 253 characters"

    static func isNameByte(_ byte: UInt8) -> Bool {
        switch byte {
        case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"),
            UInt8(ascii: "0")...UInt8(ascii: "9"), UInt8(ascii: "_"), UInt8(ascii: "-"):
            true
        default: false
        }
    }
}
