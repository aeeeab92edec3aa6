import HTTP

/// Reads the forwarded fields of a request that a trusted proxy sent; the rules are `ProxyTrust`'s.
struct ForwardedReader {
    let trust: ProxyTrust
    let head: HTTPRequestHead
    let start: ProxyTrust.Start

    /// Most elements looked at; nobody has as many proxies of his own in a row.
    private static let mostHops = 64

    /// The part of a chain that counts.
    private struct Chain {
        var address: IPAddress?
        var port: UInt16?
        /// Trusted proxies, the nearest to the client first.
        var proxies: [IPAddress]
        /// All addresses looked at, the client's included.
        var seen: [IPAddress] = []
        /// Number of elements that count.
        var depth = 0
    }

    func client() throws(EdgeRefusal) -> ClientInfo {
        var info = start.info
        info.cameThroughProxy = true
        let forwarded = trust.dialect == .xForwarded ? [] : try forwardedElements()
        let hops = trust.dialect == .forwarded ? [] : split("X-Forwarded-For")
        let forwardedChain = forwarded.isEmpty ? nil : try walk(forwarded.map { $0["for"] ?? "unknown" })
        let xChain = hops.isEmpty ? nil : try walk(hops)
        if let forwardedChain, let xChain, forwardedChain.address != xChain.address {
            throw Self.contradiction("Forwarded and X-Forwarded-For name different clients")
        }
        var chain = forwardedChain ?? xChain
        if trust.dialect != .forwarded, let real = try realIP() {
            if let chain {
                guard chain.seen.contains(real) else {
                    throw Self.contradiction("X-Real-IP is not in the chain of the other fields")
                }
            } else {
                chain = try walk([real.description])
            }
        }
        if let chain {
            info.address = chain.address
            info.port = chain.port
            info.proxies = chain.proxies
        }
        let element = forwardedChain.map { forwarded[forwarded.count - $0.depth] } ?? [:]
        let depth = xChain?.depth ?? 1
        if let scheme = try scheme(element["proto"], depth: depth) { info.scheme = scheme }
        if let host = try host(element["host"], depth: depth) { info.host = host }
        if start.speakerIsAuthenticated {
            info.certificate = try ClientCertFields.certificate(head.headers)
            info.certificateChain = try ClientCertFields.chain(head.headers)
        }
        return info
    }

    /// From the right over trusted proxies to the client.
    private func walk(_ elements: [String]) throws(EdgeRefusal) -> Chain {
        var chain = Chain(
            address: start.info.address, port: start.info.port,
            proxies: start.info.proxies)
        for element in elements.reversed() {
            chain.depth += 1
            guard chain.depth <= Self.mostHops else { throw Self.bad("the forwarded chain is too long") }
            guard let node = ForwardedNode(element) else {
                throw Self.bad("an element of the forwarded chain is no address")
            }
            guard let address = node.address else { break }
            // Whoever was taken for the client so far is a proxy on the way.
            if let proxy = chain.address { chain.proxies.insert(proxy, at: 0) }
            chain.address = address
            chain.port = node.port
            chain.seen.append(address)
            if !trust.proxies.contains(address) { break }
        }
        return chain
    }

    private func forwardedElements() throws(EdgeRefusal) -> [[String: String]] {
        var elements: [[String: String]] = []
        for line in head.headers.values("Forwarded") {
            guard let parsed = ForwardedField.parse(line) else { throw Self.bad("Forwarded is malformed") }
            elements += parsed
        }
        return elements
    }

    /// The elements of a plain list over all lines; empty ones are kept, so that they are noticed where they count.
    private func split(_ name: String) -> [String] {
        head.headers.values(name).flatMap { line in
            Text.split(line, at: 0x2C).map { String(Text.trimmed($0)) }
        }
    }

    private func realIP() throws(EdgeRefusal) -> IPAddress? {
        let values = head.headers.values("X-Real-IP")
        guard let value = values.first else { return nil }
        guard values.count == 1, let address = ForwardedNode(value)?.address else {
            throw Self.bad("X-Real-IP must be one address")
        }
        return address
    }

    private func scheme(_ forwarded: String?, depth: Int) throws(EdgeRefusal) -> ClientInfo.Scheme? {
        let named = try forwarded.map(Self.scheme)
        let other = trust.dialect == .forwarded ? nil : try pick("X-Forwarded-Proto", depth).map(Self.scheme)
        if let named, let other, named != other {
            throw Self.contradiction("Forwarded and X-Forwarded-Proto name different schemes")
        }
        return named ?? other
    }

    private func host(_ forwarded: String?, depth: Int) throws(EdgeRefusal) -> HTTPAuthority? {
        let named = try forwarded.map(Self.authority)
        let other = trust.dialect == .forwarded ? nil : try pick("X-Forwarded-Host", depth).map(Self.authority)
        if let named, let other, !named.matches(other, defaultPort: nil) {
            throw Self.contradiction("Forwarded and X-Forwarded-Host name different hosts")
        }
        return named ?? other
    }

    /// The element of a list that belongs to the same hop as the client in X-Forwarded-For: counted from the right, as
    /// far as the list goes.
    private func pick(_ name: String, _ depth: Int) -> String? {
        let values = split(name)
        return values.isEmpty ? nil : values[max(0, values.count - max(depth, 1))]
    }

    private static func scheme(_ text: String) throws(EdgeRefusal) -> ClientInfo.Scheme {
        switch Text.lowercased(text) {
        case "http", "ws": .http
        case "https", "wss": .https
        default: throw bad("the forwarded scheme must be http, https, ws or wss")
        }
    }

    private static func authority(_ text: String) throws(EdgeRefusal) -> HTTPAuthority {
        do { return try HTTPAuthority(parsing: text) } catch { throw bad("the forwarded host is no host") }
    }

    static func bad(_ text: String) -> EdgeRefusal {
        EdgeRefusal(
            .badForwardedField, status: 400, text, hint: "mend the configuration of the proxy that sent the field")
    }

    private static func contradiction(_ text: String) -> EdgeRefusal {
        EdgeRefusal(
            .forwardedContradiction, status: 400, text,
            hint: "let the proxy set or remove each of these fields, or name its dialect")
    }
}
