import EventLoop

/// An edge's URL, taken apart.
struct EdgeAddress {
    /// Where it is.
    let endpoint: Endpoint
    /// Whether TLS is spoken.
    let isSecure: Bool
    /// The host as it was written, without brackets: what the certificate must name.
    let host: String
    /// The `Host` field: the port only where it is not the scheme's own.
    let authority: String
    /// What stands before `/v1/connect`, without a slash at its end.
    let base: String

    /// `https://edge.example`
    var origin: String { "\(isSecure ? "https" : "http")://\(authority)" }

    /// Reads `https://HOST[:PORT][/PATH]`, `wss://…`; `http://` and `ws://` for loopback addresses.
    init(_ text: String) throws(CommandFailure) {
        guard let mark = text.firstRange(of: "://") else {
            throw .usage("--edge \(text) is no URL", hint: "write https://\(text)")
        }
        switch text[..<mark.lowerBound].lowercased() {
        case "https", "wss": isSecure = true
        case "http", "ws": isSecure = false
        case let scheme:
            throw .usage("--edge: \"\(scheme)\" is no scheme of an edge", hint: "write https://HOST or wss://HOST")
        }
        let rest = text[mark.upperBound...]
        let place = rest.prefix { $0 != "/" }
        var path = rest.dropFirst(place.count)
        while path.hasSuffix("/") { path.removeLast() }
        guard !rest.contains(where: { "?#@ ".contains($0) }), !place.isEmpty else {
            throw .usage("--edge \(text) is no URL of an edge", hint: "write https://HOST[:PORT][/PATH]")
        }
        base = String(path)
        let hasPort = !place.hasSuffix("]") && place.contains(":")
        let ownPort: UInt16 = isSecure ? 443 : 80
        do throws(AddressError) {
            endpoint = try Endpoint(parsing: hasPort ? String(place) : "\(place):\(ownPort)")
        } catch {
            throw .usage("--edge \(text): \(error)", hint: "write https://HOST[:PORT][/PATH]")
        }
        host = endpoint.host
        let shown = host.contains(":") ? "[\(host)]" : host
        authority = endpoint.port == ownPort ? shown : "\(shown):\(endpoint.port ?? ownPort)"
        guard isSecure || host == "localhost" || endpoint.address?.isLoopback == true else {
            throw .usage(
                "--edge \(text) is not encrypted: anybody on the way could read the token",
                hint: "write https://\(place)\(path), unless the edge is on this host")
        }
    }
}
