import EventLoop

/// What is to be tested: "wss://host:port/mesh".
struct Target {
    /// As given.
    let text: String
    let endpoint: Endpoint
    let path: String

    /// A URL that cannot be used, and how to mend it.
    struct Malformed: Error {
        let what: String
        let hint: String
    }

    /// The path of links.
    static let linkPath = "/mesh"

    /// Reads "wss://host:port/path"; scheme and path may be left out.
    init(parsing text: String) throws(Malformed) {
        let example = "write it like wss://127.0.0.1:7400/mesh"
        var rest = text[...]
        if let end = text.firstRange(of: "://") {
            let scheme = text[..<end.lowerBound].lowercased()
            switch scheme {
            case "wss", "https": rest = text[end.upperBound...]
            case "ws", "http":
                throw Malformed(what: "\(scheme):// is not encrypted, and nodes listen with TLS only", hint: example)
            default: throw Malformed(what: "the scheme \(scheme):// is not known here", hint: example)
            }
        }
        let authority = rest.prefix { $0 != "/" && $0 != "?" }
        let path = String(rest.dropFirst(authority.count))
        guard path.utf8.allSatisfy({ (0x21...0x7E).contains($0) }) else {
            throw Malformed(what: "the path has characters that must be percent-encoded", hint: example)
        }
        guard !authority.isEmpty else { throw Malformed(what: "no host in \"\(text)\"", hint: example) }
        do throws(AddressError) {
            endpoint = try Endpoint(parsing: String(authority))
        } catch {
            throw Malformed(what: "\(error)", hint: example)
        }
        guard endpoint.port != nil, endpoint.port != 0 else {
            throw Malformed(what: "no port in \"\(text)\"", hint: example)
        }
        self.text = text.contains("://") ? text : "wss://\(text)"
        self.path = path.isEmpty ? Self.linkPath : path.hasPrefix("/") ? path : "/\(path)"
    }

    /// What is sent as SNI: a name, never an address.
    var serverName: String? { endpoint.address == nil ? endpoint.host : nil }
}
