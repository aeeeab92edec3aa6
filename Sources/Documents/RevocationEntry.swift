internal import Bytes
public import JSON

/// One thing that is not believed any more, and why.
public struct RevocationEntry: Sendable, Hashable {
    /// What is revoked.
    public enum Target: Sendable, Hashable {
        /// One certificate, in any place of a chain: its issuer in one line, as certificates are printed, and its serial
        /// number in lower-case hex.
        case certificate(issuer: String, serial: String)
        /// Every certificate with this key, in any place of a chain: SHA-256 of SubjectPublicKeyInfo, base64.
        case key(String)
        /// Every certificate of this node that became valid before a time (unix seconds), whoever renews it for how long
        /// with whatever key.
        case node(String, validBefore: Int64)
    }

    /// What is revoked.
    public let target: Target
    /// When it was revoked, unix seconds.
    public let revoked: Int64
    /// Why, for people: one line.
    public let reason: String

    /// The longest reason, in bytes.
    public static let maximumReason = 256

    /// An entry from its parts; the reason is cut to what an entry may have.
    public init(_ target: Target, revoked: Int64, reason: String) {
        self.target = target
        self.revoked = revoked
        self.reason = String(
            decoding: reason.utf8.filter { $0 >= 0x20 && $0 != 0x7F }.prefix(Self.maximumReason), as: UTF8.self)
    }

    /// What the entry is called in commands: `node:NAME`, `spki-sha256:BASE64`, `serial:HEX`.
    public var name: String {
        switch target {
        case .certificate(_, let serial): "serial:\(serial)"
        case .key(let digest): "spki-sha256:\(digest)"
        case .node(let name, _): "node:\(name)"
        }
    }

    /// A serial number as it is compared: whole bytes in lower-case hex without leading zeros, as `Certificate.serialHex` has
    /// it, whatever tool printed it (`0A`, `00:0a`, `0xa`).
    public static func canonicalSerial(_ text: String) -> String {
        var digits = text.lowercased().filter { $0 != ":" && $0 != " " }[...]
        if digits.hasPrefix("0x") { digits = digits.dropFirst(2) }
        guard !digits.isEmpty else { return "" }
        let significant = digits.drop { $0 == "0" }
        return significant.isEmpty ? "00" : (significant.count.isMultiple(of: 2) ? "" : "0") + significant
    }

    /// As it stands in a document.
    public var json: JSONValue {
        var object: JSONObject
        switch target {
        case .certificate(let issuer, let serial): object = ["issuer": .string(issuer), "serial": .string(serial)]
        case .key(let digest): object = ["spkiSHA256": .string(digest)]
        case .node(let name, let time): object = ["node": .string(name), "validBefore": .integer(time)]
        }
        object["revoked"] = .integer(revoked)
        object["reason"] = .string(reason)
        return .object(object)
    }

    /// Reads an entry.
    public init(json: JSONValue) throws(JSONAccessError) {
        let object = try json.requireObject()
        let time: ClosedRange<Int64> = 0...SignedDocument.largestVersion
        if object["node"] != nil {
            try object.requireOnly(["node", "validBefore", "revoked", "reason"])
            let name = try object.string("node")
            guard (1...255).contains(name.utf8.count) else {
                throw JSONAccessError(code: .badValue, path: "node", message: "is no node's name")
            }
            target = .node(name, validBefore: try object.integer("validBefore", in: time))
        } else if object["spkiSHA256"] != nil {
            try object.requireOnly(["spkiSHA256", "revoked", "reason"])
            let digest = try object.string("spkiSHA256")
            guard Base64.decode(digest)?.count == 32 else {
                throw JSONAccessError(code: .badValue, path: "spkiSHA256", message: "is no SHA-256 in base64")
            }
            target = .key(digest)
        } else {
            try object.requireOnly(["issuer", "serial", "revoked", "reason"])
            let serial = try object.string("serial")
            guard !serial.isEmpty, serial.utf8.count <= 64, serial.utf8.allSatisfy({ Self.hex.contains($0) }) else {
                throw JSONAccessError(code: .badValue, path: "serial", message: "is no serial number in lower-case hex")
            }
            target = .certificate(issuer: try object.string("issuer"), serial: serial)
        }
        revoked = try object.integer("revoked", in: time)
        let reason = try object.string("reason")
        guard reason.utf8.count <= Self.maximumReason else {
            throw JSONAccessError(code: .outOfRange, path: "reason", message: "has more than 256 bytes")
        }
        self.reason = reason
    }

    private static let hex = Set("0123456789abcdef".utf8)
}
