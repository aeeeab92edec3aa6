import EventLoop

/// The URL of something that is fetched by HTTP: read strictly, since certificates name such URLs as well, and whoever issued
/// them chose them.
struct FetchURL: Sendable, Hashable {
    /// The URL as it was written.
    let text: String
    /// Whether it begins with `https`.
    let isSecure: Bool
    /// What the Host field says.
    let authority: String
    /// Path and query.
    let target: String
    /// Host and port.
    let endpoint: Endpoint

    /// The longest URL that is taken, in bytes.
    static let maximumLength = 2048

    /// Reads `http://…` and `https://…`; nil for anything else: other schemes, user information, fragments, characters that have
    /// to be escaped, hosts that are none.
    init?(_ text: String) {
        guard text.utf8.count <= Self.maximumLength, text.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }),
            let mark = text.firstRange(of: "://"), !text.contains("#"), !text.contains("\\")
        else { return nil }
        switch text[..<mark.lowerBound].lowercased() {
        case "http": isSecure = false
        case "https": isSecure = true
        default: return nil
        }
        let rest = text[mark.upperBound...]
        let end = rest.firstIndex { $0 == "/" || $0 == "?" } ?? rest.endIndex
        let authority = String(rest[..<end])
        let port = isSecure ? ":443" : ":80"
        guard !authority.contains("@"),
            let endpoint = (try? Endpoint(parsing: authority)) ?? (try? Endpoint(parsing: authority + port)),
            endpoint.port != nil
        else { return nil }
        self.text = text
        self.authority = authority
        self.endpoint = endpoint
        target = end == rest.endIndex ? "/" : (rest[end] == "?" ? "/" : "") + rest[end...]
    }

    static func == (one: FetchURL, other: FetchURL) -> Bool { one.text == other.text }

    func hash(into hasher: inout Hasher) { hasher.combine(text) }

    /// The first of the URLs that a certificate names whose host this node's operator has allowed; nil without one. Hosts are
    /// compared as they are written: a name that leads to an allowed address is not allowed by that.
    static func permitted(_ named: [String], hosts: [String]) -> FetchURL? {
        guard !hosts.isEmpty else { return nil }
        let allowed = Set(hosts.map { $0.lowercased() })
        return named.lazy.compactMap { FetchURL($0) }.first { allowed.contains($0.endpoint.host.lowercased()) }
    }
}
