public import JSON

/// Which of two documents of one kind is the newer: the version, and between equal versions the digest, so that all
/// nodes come to the same one of two that operators signed at the same time.
public struct DocumentStamp: Sendable, Hashable, Comparable {
    /// The version, from 1.
    public let version: UInt64
    /// The first eight bytes of the SHA-256 of what was signed, as a number.
    public let digest: UInt64

    /// A stamp from its parts.
    public init(version: UInt64, digest: UInt64) {
        self.version = version
        self.digest = digest
    }

    /// The older one is less.
    public static func < (left: DocumentStamp, right: DocumentStamp) -> Bool {
        (left.version, left.digest) < (right.version, right.digest)
    }

    /// The digest as 16 hexadecimal digits.
    public var digestText: String {
        let digits = String(digest, radix: 16)
        return String(repeating: "0", count: 16 - digits.count) + digits
    }
}

/// Which documents somebody has: at most one stamp for each kind.
public struct DocumentVersions: Sendable, Hashable {
    /// The stamps; kinds that are not there have no document.
    public var stamps: [DocumentKind: DocumentStamp]

    /// Versions from stamps.
    public init(_ stamps: [DocumentKind: DocumentStamp] = [:]) { self.stamps = stamps }

    /// The kinds of which this has a newer document than `other`, in the order in which they travel.
    public func newer(than other: DocumentVersions) -> [DocumentKind] {
        DocumentKind.inOrder.filter { kind in
            guard let own = stamps[kind] else { return false }
            guard let theirs = other.stamps[kind] else { return true }
            return theirs < own
        }
    }

    /// Whether everything that `other` has is here as it is there, or newer.
    public func covers(_ other: DocumentVersions) -> Bool { other.newer(than: self).isEmpty }

    // MARK: - In HELLO

    /// Bytes of one entry: kind, version, digest.
    private static let entrySize = 17

    /// The content of HELLO's extension: for each document its kind (1 byte), version (8) and digest (8), big endian.
    public var encoded: [UInt8] {
        var bytes: [UInt8] = []
        for kind in DocumentKind.inOrder {
            guard let stamp = stamps[kind] else { continue }
            bytes.append(kind.code)
            for number in [stamp.version, stamp.digest] {
                for shift in stride(from: 56, through: 0, by: -8) {
                    bytes.append(UInt8(truncatingIfNeeded: number >> UInt64(shift)))
                }
            }
        }
        return bytes
    }

    /// Reads the content of the extension; kinds that this version does not know are left out. Nil for something else.
    public init?(encoded bytes: [UInt8]) {
        guard bytes.count.isMultiple(of: Self.entrySize) else { return nil }
        func number(_ start: Int) -> UInt64 { bytes[start..<start + 8].reduce(0) { $0 << 8 | UInt64($1) } }
        stamps = [:]
        var codes: Set<UInt8> = []
        for start in stride(from: 0, to: bytes.count, by: Self.entrySize) {
            guard codes.insert(bytes[start]).inserted, number(start + 1) > 0 else { return nil }
            guard let kind = DocumentKind(code: bytes[start]) else { continue }
            stamps[kind] = DocumentStamp(version: number(start + 1), digest: number(start + 9))
        }
    }

    // MARK: - As JSON

    /// `{"policy": {"version": 7, "digest": "…"}}`
    public var json: JSONValue {
        var object = JSONObject()
        for kind in DocumentKind.inOrder {
            guard let stamp = stamps[kind] else { continue }
            object[kind.rawValue] = ["version": JSONValue(stamp.version), "digest": .string(stamp.digestText)]
        }
        return .object(object)
    }

    /// Reads the same; kinds that this version does not know are left out.
    public init(json: JSONValue) throws(JSONAccessError) {
        stamps = [:]
        for member in try json.requireObject() {
            guard let kind = DocumentKind(rawValue: member.key) else { continue }
            let object = try member.value.requireObject()
            let version = try object.integer("version", in: 1...SignedDocument.largestVersion)
            guard let digest = UInt64(try object.string("digest"), radix: 16) else {
                throw JSONAccessError(code: .badValue, path: "digest", message: "is not hexadecimal")
            }
            stamps[kind] = DocumentStamp(version: UInt64(version), digest: digest)
        }
    }
}
