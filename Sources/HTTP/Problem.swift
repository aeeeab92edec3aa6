/// A problem document (RFC 9457): how every HTTP error of Conduit Mesh looks.
public struct Problem: Error, Sendable, Equatable {
    /// Stable code in snake_case; programs decide by it.
    public var reason: String
    /// HTTP status.
    public var status: Int
    /// Short text for this reason, the same every time.
    public var title: String
    /// What happened this time.
    public var detail: String?
    /// What to do next.
    public var hint: String?
    /// The request this belongs to: a request id or a URI.
    public var instance: String?
    /// More members; names must differ from the above.
    public var members: [Member]

    /// A further member of a problem document.
    public struct Member: Sendable, Equatable {
        /// The member's name.
        public let name: String
        /// Its value.
        public let value: Value

        /// A member.
        public init(_ name: String, _ value: Value) {
            self.name = name
            self.value = value
        }
    }

    /// The value of a further member.
    public enum Value: Sendable, Equatable {
        /// A text.
        case string(String)
        /// A whole number.
        case integer(Int)
        /// True or false.
        case bool(Bool)
        /// A list of texts.
        case strings([String])
        /// JSON text that somebody else wrote; it is put in as it is.
        case json(String)
    }

    /// The media type of problem documents.
    public static let mediaType = "application/problem+json"

    /// A problem. Without a title it gets the reason phrase of its status.
    public init(
        _ reason: String, status: Int, title: String? = nil, detail: String? = nil, hint: String? = nil,
        instance: String? = nil, members: [Member] = []
    ) {
        self.reason = reason
        self.status = status
        self.title = title ?? HTTPStatus.reason(status)
        self.detail = detail
        self.hint = hint
        self.instance = instance
        self.members = members
    }

    /// The problem of a message that was refused.
    public init(_ error: HTTPError) {
        self.init(error.code.rawValue, status: error.status, detail: error.text)
    }

    /// `urn:conduit-mesh:problem:<reason>`, the identity of this kind of problem.
    public var type: String { "urn:conduit-mesh:problem:\(reason)" }

    /// The document as JSON text.
    public var json: String {
        var members: [(String, Value)] = [
            ("type", .string(type)), ("title", .string(title)), ("status", .integer(status)),
            ("reason", .string(reason)),
        ]
        if let detail { members.append(("detail", .string(detail))) }
        if let hint { members.append(("hint", .string(hint))) }
        if let instance { members.append(("instance", .string(instance))) }
        for member in self.members where !members.contains(where: { $0.0 == member.name }) {
            members.append((member.name, member.value))
        }
        let texts = members.map { "\(JSONText.quote($0.0)):\(JSONText.text($0.1))" }
        return "{\(texts.joined(separator: ","))}"
    }

    /// The response that carries the document; never stored by caches.
    public func response(headers: HTTPHeaders = HTTPHeaders()) -> HTTPResponse {
        var headers = headers
        headers.set("Content-Type", Self.mediaType)
        headers.set("Cache-Control", "no-store")
        return HTTPResponse(status: status, headers: headers, body: Array("\(json)\n".utf8))
    }
}

/// The little JSON that a problem document needs, so that HTTP does not depend on the JSON room.
enum JSONText {
    static func text(_ value: Problem.Value) -> String {
        switch value {
        case .string(let text): quote(text)
        case .integer(let number): String(number)
        case .bool(let flag): flag ? "true" : "false"
        case .strings(let texts): "[\(texts.map(quote).joined(separator: ","))]"
        case .json(let text): text
        }
    }

    /// A JSON string (RFC 8259, 7). "<" and the line separators are escaped too: the text may end up in a page.
    static func quote(_ text: String) -> String {
        var quoted = "\""
        for scalar in text.unicodeScalars {
            switch scalar {
            case "\"": quoted += "\\\""
            case "\\": quoted += "\\\\"
            case "\n": quoted += "\\n"
            case "\r": quoted += "\\r"
            case "\t": quoted += "\\t"
            case _ where scalar.value < 0x20 || scalar.value == 0x7F, "<", "\u{2028}", "\u{2029}":
                let hex = String(scalar.value, radix: 16)
                quoted += "\\u" + String(repeating: "0", count: 4 - hex.utf8.count) + hex
            default: quoted.unicodeScalars.append(scalar)
            }
        }
        return quoted + "\""
    }
}
