import Bytes
public import HTTP

/// Signs what a service is told about its caller, so that a service which can also be reached by other ways can tell
/// what the edge said.
///
/// `Conduit-Caller-Signature: v1;t=SECONDS;key=ID;mac=MAC`, where MAC is HMAC-SHA256 in base64url without padding over
/// these lines, each ended by one line feed:
///
/// ```
/// conduit-caller-v1
/// SECONDS                       as in the field: Unix time
/// ID                            as in the field
/// SERVICE                       name of the service
/// METHOD                        as received
/// PATH?QUERY                    request target as received, "?" only with a query
/// Conduit-Caller                value as received, or nothing
/// Conduit-Caller-Groups         value as received, or nothing
/// Conduit-Caller-CN             value as received, or nothing
/// X-Request-Id                  value as received
/// ```
///
/// **A service verifies it** so: take the fields, each exactly once or not at all; refuse times that differ by more than
/// 30 s from its own clock; compute the MAC with the key named ID and compare in constant time. No value can hold a line
/// feed, so the lines are unambiguous. It does not protect the body, and within those 30 s it can be played again: who must
/// exclude that remembers the MACs it has seen that long.
public struct CallerSignature: Sendable {
    /// Name of the key, a token: the service may know several while they are exchanged.
    public let keyID: String
    private let mac: @Sendable ([UInt8]) -> [UInt8]

    /// A signer; `mac` computes HMAC-SHA256 with the shared key.
    public init(keyID: String, mac: @escaping @Sendable ([UInt8]) -> [UInt8]) {
        precondition(Text.isToken(keyID), "the name of a key must be a token")
        self.keyID = keyID
        self.mac = mac
    }

    /// What is signed.
    public struct Subject: Sendable, Hashable {
        /// Name of the service.
        public var service: String
        /// The method.
        public var method: String
        /// Path and query as they are sent.
        public var target: String
        /// The value of `Conduit-Caller`; empty without one.
        public var principal: String
        /// The value of `Conduit-Caller-Groups`; empty without one.
        public var groups: String
        /// The value of `Conduit-Caller-CN`; empty without one.
        public var commonName: String
        /// The value of `X-Request-Id`.
        public var requestID: String

        /// The subject of a request as the service has received it; nil where a field is there twice.
        public init?(received head: HTTPRequestHead, service: String) {
            func value(_ name: String) -> String? {
                let values = head.headers.values(name)
                return values.count > 1 ? nil : values.first ?? ""
            }
            guard let principal = value("Conduit-Caller"), let groups = value("Conduit-Caller-Groups"),
                let commonName = value("Conduit-Caller-CN"), let requestID = value("X-Request-Id")
            else { return nil }
            self.service = service
            method = head.method.rawValue
            target = head.target.description
            self.principal = principal
            self.groups = groups
            self.commonName = commonName
            self.requestID = requestID
        }

        func signed(time: Int64, keyID: String) -> [UInt8] {
            let lines = [
                "conduit-caller-v1", String(time), keyID, service, method, target, principal, groups, commonName,
                requestID,
            ]
            return lines.flatMap { Array($0.utf8) + [0x0A] }
        }
    }

    /// The value of the field for a request at that Unix time in seconds.
    public func field(_ subject: Subject, time: Int64) -> String {
        let mac = Base64URL.encode(mac(subject.signed(time: time, keyID: keyID)))
        return "v1;t=\(time);key=\(keyID);mac=\(mac)"
    }

    /// Why a signature does not count.
    public enum Failure: String, Error, Sendable, Hashable, CaseIterable {
        /// No field, several, or one of another form.
        case malformed
        /// Made with a key of another name.
        case unknownKey = "unknown_key"
        /// Too old, or from the future.
        case expired
        /// The MAC belongs to something else.
        case mismatch
    }

    /// Verifies a request that a service received, as the recipe above has it. Returns nil where it counts.
    public func verify(
        _ head: HTTPRequestHead, service: String, now: Int64, leeway: Int64 = 30
    ) -> Failure? {
        let values = head.headers.values("Conduit-Caller-Signature")
        guard values.count == 1, let subject = Subject(received: head, service: service) else { return .malformed }
        let parts = Text.split(values[0], at: 0x3B)
        guard parts.count == 4, Text.equal(parts[0], "v1"),
            let time = Self.value(parts[1], "t=").flatMap({ Int64($0) }),
            let key = Self.value(parts[2], "key="), let text = Self.value(parts[3], "mac="),
            let received = Base64URL.decode(String(text))
        else { return .malformed }
        guard Text.equal(key, keyID) else { return .unknownKey }
        guard now.subtractingReportingOverflow(time).overflow == false, abs(now - time) <= leeway else {
            return .expired
        }
        let expected = mac(subject.signed(time: time, keyID: keyID))
        return ConstantTime.equal(expected, received) ? nil : .mismatch
    }

    private static func value(_ part: Substring, _ name: String) -> Substring? {
        part.utf8.starts(with: name.utf8) ? Substring(part.utf8.dropFirst(name.utf8.count)) : nil
    }
}
