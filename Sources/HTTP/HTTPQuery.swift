/// The parameters of a query or a form (application/x-www-form-urlencoded), decoded, in order.
public struct HTTPQuery: Sendable, Equatable {
    /// Names and values, as often as they occur.
    public let parameters: [(name: String, value: String)]

    /// Most parameters accepted.
    public static let limit = 256

    /// Decodes a raw query. Refused are broken escapes, what is not UTF-8, control characters other than tab and line
    /// breaks, empty names, and more than `limit` parameters. Nil and "" have none.
    public init(decoding query: String?) throws(HTTPError) {
        var parameters: [(name: String, value: String)] = []
        guard let query, !query.isEmpty else {
            self.parameters = []
            return
        }
        for pair in query.utf8.split(separator: 0x26, omittingEmptySubsequences: false) {
            if parameters.count == Self.limit {
                throw HTTPError(.tooManyParameters, "more than \(Self.limit) query parameters")
            }
            let equals = pair.firstIndex(of: 0x3D) ?? pair.endIndex
            let name = try Self.text(pair[..<equals])
            let value = equals == pair.endIndex ? "" : try Self.text(pair[pair.index(after: equals)...])
            if name.isEmpty { throw HTTPError(.badQuery, "a query parameter must have a name: name=value&…") }
            parameters.append((name, value))
        }
        self.parameters = parameters
    }

    /// The value of a parameter that may occur at most once; throws `duplicate_parameter` where it occurs more often.
    public func single(_ name: String) throws(HTTPError) -> String? {
        let values = values(name)
        if values.count > 1 {
            throw HTTPError(.duplicateParameter, "the query parameter \(name) may be sent only once")
        }
        return values.first
    }

    /// The value of a parameter that must occur exactly once.
    public func required(_ name: String) throws(HTTPError) -> String {
        guard let value = try single(name) else {
            throw HTTPError(.missingParameter, "the query parameter \(name) is missing")
        }
        return value
    }

    /// All values of a parameter.
    public func values(_ name: String) -> [String] { parameters.filter { $0.name == name }.map(\.value) }

    /// The first parameter whose name is not among `known`, so that a handler can refuse what it would ignore.
    public func unknown(besides known: Set<String>) -> String? {
        parameters.first { !known.contains($0.name) }?.name
    }

    /// The query text for those parameters, without "?".
    public static func encode(_ parameters: [(String, String)]) -> String {
        parameters.map { "\(PercentEncoding.encode($0.0))=\(PercentEncoding.encode($0.1))" }.joined(separator: "&")
    }

    private static func text(_ bytes: some Collection<UInt8>) throws(HTTPError) -> String {
        let decoded = try PercentEncoding.decode(bytes, plusIsSpace: true)
        for byte in decoded where byte < 0x20 && byte != 0x09 && byte != 0x0A && byte != 0x0D || byte == 0x7F {
            throw HTTPError(.badQuery, "the query contains an encoded control character")
        }
        guard let text = String(validating: decoded, as: UTF8.self) else {
            throw HTTPError(.notUTF8, "the query is not UTF-8 after decoding")
        }
        return text
    }

    /// Same parameters in the same order.
    public static func == (a: HTTPQuery, b: HTTPQuery) -> Bool {
        a.parameters.elementsEqual(b.parameters) { $0 == $1 }
    }
}
