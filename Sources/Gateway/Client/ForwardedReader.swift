import Bytes
import HTTP

/// Reads the forwarded fields of a request that a trusted proxy sent; the rules are `ProxyTrust`'s.
struct ForwardedReader {
    let trust: ProxyTrust
    let head: HTTPRequestHead
    let start: ProxyTrust.Start

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

/// One element of a forwarded chain: an address with or without port, or nobody in particular.
struct ForwardedNode {
    /// Nil for `unknown` and for obfuscated names (RFC 7239, 6.2 and 6.3).
    var address: IPAddress?
    var port: UInt16?

    /// Reads `192.0.2.1`, `192.0.2.1:80`, `2001:db8::1`, `[2001:db8::1]`, `[2001:db8::1]:80`, `unknown`, `_name`; nil for
    /// anything else. Obfuscated ports are dropped.
    init?(_ text: String) {
        if Text.equalIgnoringCase(text, "unknown") || text.utf8.first == 0x5F, text.utf8.allSatisfy(Text.isTokenByte) {
            return
        }
        if let address = IPAddress(parsing: text) {
            self.address = address
            return
        }
        let host: Substring
        let port: Substring
        if text.utf8.first == 0x5B {
            let parts = Text.split(text.dropFirst(), at: 0x5D)
            guard parts.count == 2, parts[0].utf8.contains(0x3A) else { return nil }
            host = parts[0]
            if parts[1].isEmpty {
                port = ""
            } else {
                guard parts[1].utf8.first == 0x3A else { return nil }
                port = Substring(parts[1].utf8.dropFirst())
                if port.isEmpty { return nil }
            }
        } else {
            let parts = Text.split(text, at: 0x3A)
            guard parts.count == 2, !parts[1].isEmpty else { return nil }
            host = parts[0]
            port = parts[1]
        }
        guard let address = IPAddress(parsing: String(host)) else { return nil }
        self.address = address
        if port.isEmpty { return }
        if port.utf8.first == 0x5F, Text.isToken(port) { return }
        guard let number = Text.port(port) else { return nil }
        self.port = number
    }
}

/// The grammar of Forwarded (RFC 7239, 4).
enum ForwardedField {
    /// The elements of one line with their parameters, names in lower case. Nil where the line breaks the grammar
    /// anywhere: an open quote on its left, which a client may have sent, must not swallow what a proxy added.
    static func parse(_ line: String) -> [[String: String]]? {
        let bytes = Array(line.utf8)
        var index = 0
        var elements: [[String: String]] = []
        func skipBlanks() { while index < bytes.count, bytes[index] == 0x20 || bytes[index] == 0x09 { index += 1 } }
        while true {
            skipBlanks()
            var element: [String: String] = [:]
            while index < bytes.count, bytes[index] != 0x2C {
                guard let name = token(bytes, &index), index < bytes.count, bytes[index] == 0x3D else { return nil }
                index += 1
                guard let value = quoted(bytes, &index) ?? token(bytes, &index) else { return nil }
                guard element.updateValue(value, forKey: Text.lowercased(name)) == nil else { return nil }
                skipBlanks()
                guard index < bytes.count, bytes[index] != 0x2C else { break }
                guard bytes[index] == 0x3B else { return nil }
                index += 1
                skipBlanks()
                guard index < bytes.count, bytes[index] != 0x2C else { return nil }
            }
            if element.isEmpty { return nil }
            elements.append(element)
            if index == bytes.count { return elements }
            index += 1
        }
    }

    private static func token(_ bytes: [UInt8], _ index: inout Int) -> String? {
        let start = index
        while index < bytes.count, Text.isTokenByte(bytes[index]) { index += 1 }
        return index == start ? nil : String(decoding: bytes[start..<index], as: UTF8.self)
    }

    private static func quoted(_ bytes: [UInt8], _ index: inout Int) -> String? {
        guard index < bytes.count, bytes[index] == 0x22 else { return nil }
        var value: [UInt8] = []
        var at = index + 1
        while at < bytes.count, bytes[at] != 0x22 {
            if bytes[at] == 0x5C { at += 1 }
            guard at < bytes.count else { return nil }
            value.append(bytes[at])
            at += 1
        }
        guard at < bytes.count else { return nil }
        index = at + 1
        return String(decoding: value, as: UTF8.self)
    }
}

/// Client-Cert and Client-Cert-Chain (RFC 9440): DER as structured byte sequences.
enum ClientCertFields {
    /// Largest certificate accepted, in DER.
    static let maximumSize = 16_384
    /// Most certificates accepted in the chain.
    static let maximumChain = 10

    static func certificate(_ headers: HTTPHeaders) throws(EdgeRefusal) -> [UInt8]? {
        let values = headers.values("Client-Cert")
        guard let value = values.first else { return nil }
        guard values.count == 1, let der = byteSequence(value[...]) else { throw malformed }
        return der
    }

    static func chain(_ headers: HTTPHeaders) throws(EdgeRefusal) -> [[UInt8]] {
        var chain: [[UInt8]] = []
        for line in headers.values("Client-Cert-Chain") {
            for element in Text.split(line, at: 0x2C) {
                guard let der = byteSequence(Text.trimmed(element)), chain.count < maximumChain else {
                    throw malformed
                }
                chain.append(der)
            }
        }
        return chain
    }

    /// `:base64:` (RFC 8941, 3.3.5), not empty.
    private static func byteSequence(_ text: Substring) -> [UInt8]? {
        guard text.utf8.count > 2, text.utf8.first == 0x3A, text.utf8.last == 0x3A,
            let der = Base64.decode(String(text.dropFirst().dropLast())), der.count <= maximumSize
        else { return nil }
        return der
    }

    private static var malformed: EdgeRefusal {
        EdgeRefusal(
            .badClientCertField, status: 400, "Client-Cert must be one certificate as :base64:, as RFC 9440 has it",
            hint: "mend the configuration of the proxy that sent the field")
    }
}
