/// What the edge knows of a field by its name.
struct FieldKind: OptionSet {
    let rawValue: UInt16

    /// Only the edge may write it (`ProtectedFields`).
    static let protected = FieldKind(rawValue: 1 << 0)
    /// It concerns one connection only (RFC 9110, 7.6.1).
    static let hopByHop = FieldKind(rawValue: 1 << 1)
    /// It belongs to the whole way: a client that names it in Connection wants it removed between the check and the
    /// service.
    static let endToEnd = FieldKind(rawValue: 1 << 2)
    /// In trailers, servers that merge both would read it as one of the head.
    static let headOnly = FieldKind(rawValue: 1 << 3)
    /// The edge writes it anew in each request.
    static let rewritten = FieldKind(rawValue: 1 << 4)
    /// Authorization.
    static let authorization = FieldKind(rawValue: 1 << 5)
    /// X-API-Key.
    static let apiKey = FieldKind(rawValue: 1 << 6)
    /// DPoP.
    static let proof = FieldKind(rawValue: 1 << 7)
    /// Sec-WebSocket-*.
    static let socket = FieldKind(rawValue: 1 << 8)
    /// Sec-WebSocket-Protocol.
    static let socketProtocol = FieldKind(rawValue: 1 << 9)
    /// Sec-WebSocket-Extensions.
    static let socketExtensions = FieldKind(rawValue: 1 << 10)

    /// The kinds of a field of that name, in any spelling.
    static func of(_ name: UnsafeRawBufferPointer) -> FieldKind {
        var kind = table[FieldKey(name)] ?? []
        if ProtectedFields.prefixes.contains(where: { begins(name, $0) }) { kind.insert(.protected) }
        if begins(name, "sec-websocket-") { kind.formUnion([.socket, .headOnly]) }
        return kind
    }

    /// Whether a name begins so, in any spelling.
    static func begins(_ name: UnsafeRawBufferPointer, _ prefix: StaticString) -> Bool {
        let prefix = UnsafeRawBufferPointer(start: prefix.utf8Start, count: prefix.utf8CodeUnitCount)
        guard name.count >= prefix.count else { return false }
        for index in 0..<prefix.count where FieldKey.normalised(name[index]) != prefix[index] { return false }
        return true
    }

    private static let table: [FieldKey: FieldKind] = {
        var table: [FieldKey: FieldKind] = [:]
        func add(_ kind: FieldKind, _ names: [String]) {
            for name in names { table[FieldKey(name), default: []].formUnion(kind) }
        }
        add(.protected, ProtectedFields.names)
        add(.hopByHop, ConnectionFields.hopByHop)
        add(.endToEnd, ConnectionFields.endToEnd)
        add(.headOnly, headOnlyNames)
        add(.rewritten, ["host", "expect", "traceparent", "tracestate", "via", "content-length"])
        add(.authorization, ["authorization"])
        add(.apiKey, ["x-api-key"])
        add(.proof, ["dpop"])
        add(.socketProtocol, ["sec-websocket-protocol"])
        add(.socketExtensions, ["sec-websocket-extensions"])
        return table
    }()

    private static let headOnlyNames = [
        "authorization", "cookie", "set-cookie", "host", "content-length", "content-type", "content-encoding",
        "content-range", "cache-control", "expect", "range", "max-forwards", "origin", "referer", "dpop", "x-api-key",
        "traceparent", "tracestate", "via", "location", "vary", "age", "date", "retry-after", "warning",
        "www-authenticate", "strict-transport-security", "if-match", "if-none-match", "if-modified-since",
        "if-unmodified-since", "if-range", "pragma", "accept", "x-http-method-override",
        "access-control-allow-origin", "access-control-allow-credentials", "access-control-allow-methods",
        "access-control-allow-headers", "access-control-expose-headers", "access-control-max-age",
    ]
}

/// The name of a field without regard to its spelling, as a number that is made without allocating: FNV-1a over the name in
/// lower case with "-" for everything that is not a letter or digit. Names that collide are treated alike, which can only
/// remove a field that somebody made up to collide.
struct FieldKey: Hashable {
    private let value: UInt64

    init(_ name: UnsafeRawBufferPointer) {
        var value: UInt64 = 0xcbf2_9ce4_8422_2325
        for byte in name { value = (value ^ UInt64(Self.normalised(byte))) &* 0x100_0000_01b3 }
        self.value = value
    }

    init(_ name: String) {
        var name = name
        self = name.withUTF8 { FieldKey(UnsafeRawBufferPointer($0)) }
    }

    @inline(__always)
    static func normalised(_ byte: UInt8) -> UInt8 { Text.isAlphanumeric(byte) ? Text.lowered(byte) : 0x2D }
}
